"""Features as .npz: a zip of arrays, stored without compression so that they can be mapped.

Rows are copied from the spool in pieces, so that a file larger than memory can be written; each
array begins at a multiple of 64 bytes, where numpy and PyTorch like to read.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from embedsvc.feature_files.columns import array, named, texts
from embedsvc.feature_files.facts import space_fields
from embedsvc.feature_files.spool import Contents
from embedsvc.timing import SAMPLE_RATE

ALIGNMENT = 64
PIECE_BYTES = 1 << 22

_PADDING = 0xE57C
"""Id of the field of a zip header that only takes room; others ignore what they do not know."""

_LOCAL_HEADER = 30
_ZIP64_FIELD = 20


def write_npz(path: Path, contents: Contents) -> None:
    """Write all arrays; the README lists them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, values in _small(contents).items():
            _write(archive, name, values.dtype, values.shape, iter([values]))
        kind = "frames" if contents.facts.frames else "vectors"
        for name, rows in contents.rows.items():
            key = contents.facts.key(kind, name)
            _write(archive, key, rows.dtype, rows.shape, _pieces(rows))
        if contents.spans is not None:
            shape = contents.spans.shape
            seconds = (piece / SAMPLE_RATE for piece in _pieces(contents.spans))
            _write(archive, "spans", np.dtype(np.float64), shape, seconds)


def _small(contents: Contents) -> dict[str, NDArray[Any]]:
    """What there is one of for each recording."""
    entries, facts = contents.entries, contents.facts
    ours: dict[str, NDArray[Any]] = {
        "facts": np.array(facts.to_json()),
        "paths": texts([entry.path for entry in entries]),
        "ids": texts([entry.id for entry in entries]),
        "seconds": np.array([entry.seconds for entry in entries], np.float64),
        "digests": texts([entry.digest for entry in entries]),
        "offsets": contents.offsets,
        "failed_paths": texts([entry.path for entry in contents.failures]),
        "failed_reasons": texts([entry.error for entry in contents.failures]),
    }
    for name, space in facts.spaces.items():
        ours[facts.key("space", name)] = np.array(json.dumps(space_fields(space)))
    kinds = ("vectors", "frames")
    taken = {*ours, "spans", *(facts.key(kind, name) for kind in kinds for name in facts.spaces)}
    columns = named(contents.columns, taken | set(kinds))
    columns_of = json.dumps(dict(zip(columns, contents.columns, strict=True)))
    ours["columns"] = np.array(columns_of)
    return ours | {name: array(column) for name, column in columns.items()}


def _pieces(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, PIECE_BYTES // max(1, rows.itemsize * rows.shape[1]))
    for first in range(0, len(rows), step):
        yield rows[first : first + step]


def _write(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    pieces: Iterator[NDArray[Any]],
) -> None:
    member = zipfile.ZipInfo(f"{name}.npy")
    member.external_attr = 0o644 << 16
    member.extra = _padding(archive, member)
    with archive.open(member, "w", force_zip64=True) as file:
        file.write(_header(dtype, shape))
        for piece in pieces:
            _copy(file, piece)


def _copy(file: IO[bytes], piece: NDArray[Any]) -> None:
    file.write(np.ascontiguousarray(piece).tobytes())


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    fields = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(head, fields)
    return head.getvalue()


def _padding(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A field that lets what follows the header begin at a multiple of `ALIGNMENT`."""
    assert archive.fp is not None
    name = member.filename.encode()
    begin = archive.fp.tell() + _LOCAL_HEADER + len(name) + _ZIP64_FIELD + 4
    room = -begin % ALIGNMENT
    return _PADDING.to_bytes(2, "little") + room.to_bytes(2, "little") + bytes(room)
