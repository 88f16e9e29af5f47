"""A probe as two files: safetensors for its numbers, JSON for everything else.

Files may come from anyone, so that everything in them is checked before it is believed, and
nothing in them can run.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedsvc.errors import InvalidArgument
from embedsvc.probes.numbers import (
    KNOTS,
    LARGEST,
    MOST_REFERENCE_NUMBERS,
    MOST_REFERENCES,
    RANKS,
    Numbers,
    digest_of,
)
from embedsvc.probes.probe import Probe
from embedsvc.types import Pooling, ProbeInfo, ProbeTask, Space, Windowing

FORMAT = 1
"""Of the two files; another one is refused."""

MOST_TENSOR_BYTES = 64 << 20
MOST_CARD_BYTES = 4 << 20
MOST_LABELS = 10_000
MOST_LABEL_CHARS = 200
MOST_LABEL_BYTES = 1 << 19
"""Of all labels together, so that a report that names them twice stays within the card."""
MOST_SPACES = 64
MOST_WIDTH = 1 << 20
MOST_TEXT = 10_000
MOST_NAME = 64
MOST_FIGURES = 1_000
MOST_DIGITS = 19

_MOST = {"weights": LARGEST, "bias": LARGEST, "mix": 1.0, "references": 1.01}
_MOST_ANY = 1e30


@dataclass(frozen=True)
class ProbeFiles:
    """`probe.safetensors` and `probe.json`."""

    tensors: bytes
    card: bytes


def to_files(probe: Probe) -> ProbeFiles:
    """The files of a probe."""
    tensors = save({name: np.ascontiguousarray(a) for name, a in probe.numbers.arrays().items()})
    info = probe.info
    card = {"format": FORMAT} | {each.name: getattr(info, each.name) for each in fields(info)}
    card["spaces"] = [asdict(space) for space in info.spaces]
    card["figures"] = dict(info.figures)
    card["report"] = json.loads(info.report)
    text = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False)
    return ProbeFiles(tensors, text.encode())


def from_files(tensors: bytes, card: bytes) -> Probe:
    """The probe of `to_files`; raises InvalidArgument for files that are not those of one."""
    info = _info(_object(card))
    numbers = _numbers(tensors, info)
    if digest_of(numbers, info) != info.digest:
        raise _wrong("card", f"digest must be that of the numbers, but is {info.digest!r}")
    return Probe(info, numbers)


def _wrong(file: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"`{file}` must be of a probe: {why}", field=file)


def _object(card: bytes) -> Mapping[str, Any]:
    if len(card) > MOST_CARD_BYTES:
        raise _wrong("card", f"at most {MOST_CARD_BYTES} bytes, but has {len(card)}")
    try:
        found = json.loads(
            card.decode(),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise _wrong("card", "JSON in UTF-8 with finite numbers, but is not") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise _wrong("card", f"a JSON object whose format is {FORMAT}")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _bounded(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(text)
    return int(text)


class _Card:
    """The fields of a JSON object, each of the kind that is asked for."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    def text(self, name: str, most: int = MOST_TEXT) -> str:
        value = self._found.get(name)
        if not isinstance(value, str) or len(value) > most:
            raise _wrong("card", f"`{name}` is text of at most {most} characters")
        return value

    def whole(self, name: str, most: int) -> int:
        value = self._found.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise _wrong("card", f"`{name}` is a whole number from 0 to {most}")
        return value

    def number(self, name: str, most: float) -> float:
        value: Any = self._found.get(name)
        if type(value) not in {int, float} or not 0 <= value <= most:
            raise _wrong("card", f"`{name}` is a number from 0 to {most:g}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._found.get(name)
        if not isinstance(value, bool):
            raise _wrong("card", f"`{name}` is true or false")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        value = self._found.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise _wrong("card", f"`{name}` is a list of at most {most}")
        return value

    def inner(self, name: str) -> dict[str, Any]:
        value = self._found.get(name)
        if not isinstance(value, dict):
            raise _wrong("card", f"`{name}` is an object")
        return value


def _info(found: Mapping[str, Any]) -> ProbeInfo:
    card = _Card(found)
    spaces = tuple(_space(each) for each in card.items("spaces", MOST_SPACES))
    if not spaces or sum(space.dim for space in spaces) > MOST_WIDTH:
        raise _wrong("card", f"`spaces` are some, of at most {MOST_WIDTH} dimensions together")
    try:
        task = ProbeTask(card.text("task"))
    except ValueError as error:
        raise _wrong("card", f"`task` is one of {', '.join(ProbeTask)}") from error
    return ProbeInfo(
        name=card.text("name", MOST_NAME),
        version=card.whole("version", 1 << 62),
        task=task,
        labels=_labels(card, task),
        spaces=spaces,
        created_at=card.number("created_at", 1e11),
        digest=card.text("digest", 16),
        alpha=card.number("alpha", 1),
        min_speech_seconds=card.number("min_speech_seconds", 3600),
        figures=_figures(card),
        report=json.dumps(card.inner("report"), sort_keys=True, ensure_ascii=False),
        license=card.text("license"),
        about=card.text("about"),
    )


def _labels(card: _Card, task: ProbeTask) -> tuple[str, ...]:
    labels = card.items("labels", MOST_LABELS)
    sound = all(isinstance(each, str) and 0 < len(each) <= MOST_LABEL_CHARS for each in labels)
    fewest = {ProbeTask.SINGLE_LABEL: 2, ProbeTask.MULTI_LABEL: 1, ProbeTask.REGRESSION: 0}[task]
    if not sound or len(set(labels)) != len(labels) or len(labels) < fewest:
        raise _wrong("card", f"`labels` are texts, all different, at least {fewest} of them")
    if task is ProbeTask.REGRESSION and labels:
        raise _wrong("card", "`labels` are none for a regression")
    return tuple(labels)


def _figures(card: _Card) -> dict[str, float]:
    figures = card.inner("figures")
    sound = all(type(each) in {int, float} for each in figures.values())
    if not sound or len(figures) > MOST_FIGURES:
        raise _wrong("card", f"`figures` are at most {MOST_FIGURES} numbers by name")
    return {name: float(value) for name, value in figures.items()}


def _space(found: object) -> Space:
    if not isinstance(found, dict):
        raise _wrong("card", "`spaces` are objects")
    card = _Card(found)
    windowing = _Card(card.inner("windowing"))
    try:
        pooling = Pooling(card.text("pooling"))
    except ValueError as error:
        raise _wrong("card", f"`pooling` is one of {', '.join(Pooling)}") from error
    dim = card.whole("dim", MOST_WIDTH)
    if not dim:
        raise _wrong("card", "`dim` is at least 1")
    return Space(
        fingerprint=card.text("fingerprint"),
        model=card.text("model"),
        weights=card.text("weights"),
        layer=card.whole("layer", 10_000),
        pooling=pooling,
        windowing=_windowing(windowing),
        projection=card.text("projection"),
        normalized=card.flag("normalized"),
        dim=dim,
    )


def _windowing(card: _Card) -> Windowing:
    most = 1 << 40
    return Windowing(card.whole("length", most), card.whole("context", most))


def _numbers(data: bytes, info: ProbeInfo) -> Numbers:
    if len(data) > MOST_TENSOR_BYTES:
        raise _wrong("tensors", f"at most {MOST_TENSOR_BYTES} bytes, but has {len(data)}")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise _wrong("tensors", "safetensors, but is not") from error
    names = {each.name for each in fields(Numbers)}
    if tensors.keys() != names:
        raise _wrong("tensors", f"exactly {', '.join(sorted(names))}")
    numbers = Numbers(**tensors)
    _check_shapes(numbers, info)
    _check_values(numbers)
    return numbers


def _check_shapes(numbers: Numbers, info: ProbeInfo) -> None:
    width = sum(space.dim for space in info.spaces)
    mixed = width // len(info.spaces)
    labels = 1 if info.task is ProbeTask.REGRESSION else len(info.labels)
    kept = len(numbers.references) if numbers.references.ndim == 2 else 0
    curves = len(numbers.curve) if numbers.curve.ndim == 2 else -1
    shapes = {
        "mean": (width,),
        "scale": (width,),
        "mix": (len(info.spaces),),
        "weights": (mixed, labels),
        "bias": (labels,),
        "temperature": (1,),
        "curve": (curves if curves in {0, labels} else labels, len(KNOTS)),
        "least": (labels,),
        "answers": (labels,),
        "references": (kept, width),
        "evidence": (3, len(RANKS)),
        "belonging": (len(RANKS),),
        "refused": (1,),
    }
    for name, array in numbers.arrays().items():
        kind = np.float16 if name == "references" else np.float32
        if array.shape != shapes[name] or array.dtype != kind:
            raise _wrong("tensors", f"`{name}` is {kind.__name__} of {list(shapes[name])}")
    if not 1 <= kept <= MOST_REFERENCES or kept * width > max(MOST_REFERENCE_NUMBERS, width):
        raise _wrong("tensors", f"`references` are 1 to {MOST_REFERENCES}")
    if mixed * len(info.spaces) != width:
        raise _wrong("card", "`spaces` that are mixed have equal dimensions")


def _check_values(numbers: Numbers) -> None:
    for name, array in numbers.arrays().items():
        most = _MOST.get(name, _MOST_ANY)
        if not (np.abs(array) <= most).all():  # NaN is not
            raise _wrong("tensors", f"`{name}` is finite, of at most {most:g}")
    if not 1e-6 <= numbers.temperature[0] <= 1e6:
        raise _wrong("tensors", "`temperature` is from 1e-6 to 1e6")
    if (np.diff(numbers.evidence) < 0).any() or (np.diff(numbers.belonging) < 0).any():
        raise _wrong("tensors", "quantiles do not fall")
