"""Recordings checked and turned into what the tables hold, before any lock is taken."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.filters import kind
from embedsvc.index.texts import Packed, packed
from embedsvc.index.where import INT64, KINDS
from embedsvc.types import Codes, Floats, Line, Metadata, MetadataValue, Recording, Segment

MAX_ID_BYTES = 512
MAX_SEGMENTS = 20_000
MAX_FIELDS = 64
MAX_TEXT_BYTES = 4_096
MAX_DIGEST_BYTES = 128
MAX_LINES = 20_000
MAX_LINE_BYTES = 1 << 20
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")

Halves = NDArray[np.float16]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """A recording that can be stored.

    `rows` (S, width) have its vectors of all spaces, one after the other, each of unit length.
    """

    id: str
    metadata: str
    labels: tuple[tuple[str, int, MetadataValue], ...]
    length: int
    digest: str
    spans: tuple[tuple[int, int], ...]
    rows: Halves
    codes: Codes | None = None
    lines: tuple[Packed, ...] = ()


def prepare(recording: Recording, dims: Mapping[str, int]) -> Prepared:
    """Check a recording for spaces of these names and dimensions.

    Raises InvalidArgument or TensorShape naming the part at fault.
    """
    check_text(recording.id, "id", MAX_ID_BYTES)
    if not recording.id:
        raise InvalidArgument("`id` must not be empty", field="id")
    if recording.digest:
        check_text(recording.digest, "digest", MAX_DIGEST_BYTES)
    if not _is_whole(recording.length) or recording.length < 0:
        raise InvalidArgument(
            "`length` must be a whole number of samples, 0 or more, of 64 bits", field="length"
        )
    return Prepared(
        id=recording.id,
        metadata=_metadata(recording.metadata),
        labels=tuple((key, KINDS[kind(value)], value) for key, value in recording.metadata.items()),
        length=recording.length,
        digest=recording.digest,
        spans=_spans(recording.segments),
        rows=_rows(recording.segments, dims),
        codes=recording.codes,
        lines=_lines(recording),
    )


def unit(vector: Floats, dim: int, field: str) -> Doubles:
    """`vector` (D,) scaled to length 1; raises TensorShape, naming `field`, if that cannot be."""
    array = np.asarray(vector)
    if array.shape != (dim,) or array.dtype.kind not in "fiu":
        raise TensorShape(
            f"`{field}` must be {dim} numbers, but has shape {array.shape} of {array.dtype}",
            field=field,
            dimensions=dim,
        )
    precise = array.astype(np.float64)
    if not np.isfinite(precise).all():
        raise TensorShape(f"`{field}` must be finite, but has NaN or infinity", field=field)
    peak = np.abs(precise).max(initial=0.0)
    if peak == 0.0:
        raise TensorShape(f"`{field}` must have a direction, but is all zeros", field=field)
    # Scaled by its peak first, so that no square under- or overflows.
    scaled: Doubles = precise / peak
    return scaled / np.sqrt(scaled @ scaled)


def check_text(text: object, field: str, limit_bytes: int) -> None:
    """Raise InvalidArgument unless `text` is Unicode text of at most `limit_bytes` as UTF-8."""
    if not isinstance(text, str):
        raise InvalidArgument(f"`{field}` must be text, but is {type(text).__name__}", field=field)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"`{field}` must be Unicode text, but has half a surrogate pair", field=field
        ) from error
    if size > limit_bytes:
        raise InvalidArgument(
            f"`{field}` must be at most {limit_bytes} bytes, but is {size}",
            field=field,
            limit_bytes=limit_bytes,
            size_bytes=size,
        )


def _metadata(metadata: Metadata) -> str:
    if len(metadata) > MAX_FIELDS:
        raise InvalidArgument(
            f"`metadata` must have at most {MAX_FIELDS} fields, but has {len(metadata)}",
            field="metadata",
            limit_fields=MAX_FIELDS,
        )
    for key, value in metadata.items():
        if not FIELD_NAME.fullmatch(key):
            raise InvalidArgument(
                "`metadata` must have field names of 1-64 letters, digits, `_`, `.` or `-` that "
                f"begin with a letter or `_`, but has {key[:80]!r}",
                field="metadata",
            )
        _check_value(value, f"metadata.{key}")
    return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _check_value(value: object, field: str) -> None:
    match value:
        case str():
            check_text(value, field, MAX_TEXT_BYTES)
        case int() if value not in INT64:
            raise InvalidArgument(f"`{field}` must fit 64 bits, but is larger", field=field)
        case float() if not math.isfinite(value):
            raise InvalidArgument(f"`{field}` must be finite, but is {value}", field=field)
        case int() | float():
            pass
        case _:
            raise InvalidArgument(
                f"`{field}` must be text, a number or a boolean, but is {type(value).__name__}",
                field=field,
            )


def _spans(segments: Sequence[Segment]) -> tuple[tuple[int, int], ...]:
    if not 1 <= len(segments) <= MAX_SEGMENTS:
        raise InvalidArgument(
            f"`segments` must be 1-{MAX_SEGMENTS}, but are {len(segments)}",
            field="segments",
            limit_segments=MAX_SEGMENTS,
        )
    spans = tuple((segment.span.start, segment.span.end) for segment in segments)
    for number, (start, end) in enumerate(spans):
        if not (_is_whole(start) and _is_whole(end) and 0 <= start < end):
            raise InvalidArgument(
                f"`segments[{number}].span` must be samples with 0 <= start < end < 2**63",
                field=f"segments[{number}].span",
            )
    return spans


def _lines(recording: Recording) -> tuple[Packed, ...]:
    if len(recording.lines) > MAX_LINES:
        raise InvalidArgument(
            f"`lines` must be at most {MAX_LINES}, but are {len(recording.lines)}",
            field="lines",
            limit_lines=MAX_LINES,
        )
    for number, line in enumerate(recording.lines):
        _check_line(line, recording.length, f"lines[{number}]")
    return tuple(map(packed, recording.lines))


def _check_line(line: Line, length: int, field: str) -> None:
    """Units stand in the text in their order, and when it is known how long it is, in the audio."""
    check_text(line.text, f"{field}.text", MAX_LINE_BYTES)
    if not line.units:
        raise InvalidArgument(f"`{field}.units` must not be empty", field=f"{field}.units")
    at = 0
    for number, unit in enumerate(line.units):
        name = f"{field}.units[{number}]"
        found = line.text.find(unit.text, at)
        if not unit.text or found < 0:
            raise InvalidArgument(
                f"`{name}.text` must stand in the text behind those before it, but is "
                f"{unit.text[:80]!r}",
                field=f"{name}.text",
            )
        at = found + len(unit.text)
        start, end = unit.span.start, unit.span.end
        if not (_is_whole(start) and _is_whole(end) and 0 <= start < end < start + 2**32):
            raise InvalidArgument(
                f"`{name}.span` must be samples with 0 <= start < end", field=f"{name}.span"
            )
        if length and end > length:
            raise InvalidArgument(
                f"`{name}.span` must end within the {length} samples of the recording, "
                f"but ends with {end}",
                field=f"{name}.span",
            )


def _rows(segments: Sequence[Segment], dims: Mapping[str, int]) -> Halves:
    for number, segment in enumerate(segments):
        if len(segment.vectors) != len(dims):
            raise InvalidArgument(
                f"`segments[{number}]` must have a vector of each of {len(dims)} spaces, "
                f"but has {len(segment.vectors)}",
                field=f"segments[{number}].vector",
            )
    columns = [
        [
            unit(segment.vectors[place], dim, _field(number, name))
            for number, segment in enumerate(segments)
        ]
        for place, (name, dim) in enumerate(dims.items())
    ]
    return np.concatenate([np.stack(units) for units in columns], axis=1).astype("<f2")


def _field(number: int, space: str) -> str:
    return f"segments[{number}].{f'vectors.{space}' if space else 'vector'}"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in INT64
