"""What a probe learns from, checked before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes.numbers import LARGEST, MOST_REFERENCES
from embedsvc.probes.storing import (
    MOST_LABEL_BYTES,
    MOST_LABEL_CHARS,
    MOST_LABELS,
    MOST_SPACES,
    MOST_WIDTH,
)
from embedsvc.types import Floats, ProbeTask, Space

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]
MOST_VALUE = 1e12
"""Of the numbers of a regression."""

MOST_CELLS = 1 << 27
"""Examples times labels; what is said of them is held in memory."""

MOST_WEIGHTS = 11_000_000
"""Dimensions times labels: 42 MiB of a file of at most 64."""
Truth = NDArray[np.uint8] | NDArray[np.float64]


OF_RECORDING = "\0"
"""Begins a group that only says of which recording an example is: nobody said who speaks."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Vectors (n, D), of `spaces` side by side, with what they are to be answered as.

    `labels` are one for each: a label, labels separated by commas, or a number as text. Examples
    of one of `groups`, such as a speaker, are never on both sides of a split; an empty text is a
    group of its own. `baseline` (n, any) are other features to compare with. At most `kept`
    of them stay with the probe, as what is near to speech it knows.
    """

    vectors: Floats
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    spaces: tuple[Space, ...]
    baseline: Floats | None = None
    kept: int = MOST_REFERENCES

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def group_places(self) -> Places:
        """A number for the group of each example (n,), from 0."""
        names = np.asarray(self.groups, dtype=np.str_)
        own = names == ""
        places = np.empty(len(names), np.intp)
        unique, inverse = np.unique(names[~own], return_inverse=True)
        places[~own] = inverse
        places[own] = len(unique) + np.arange(int(own.sum()))
        return places


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be learned: `truth` (n, C), of 0 and 1 in bytes.

    Of a regression it is (n, 1), the numbers less `center` and divided by `spread`.
    """

    task: ProbeTask
    labels: tuple[str, ...]
    truth: Truth
    center: float = 0.0
    spread: float = 1.0

    @property
    def classes(self) -> Places:
        """Place of the one label of each example (n,)."""
        places: Places = self.truth.argmax(axis=1)
        return places

    @property
    def values(self) -> Doubles:
        """The number of each example (n,)."""
        values: Doubles = self.truth[:, 0].astype(np.float64) * self.spread + self.center
        return values


def target(examples: Examples, task: ProbeTask) -> Target:
    """The labels of `examples` as numbers; raises InvalidArgument when there is nothing to learn.

    Raises TensorShape for vectors of another shape than the spaces, or not finite.
    """
    _check_vectors(examples.vectors, examples.spaces)
    _check_counts(examples)
    if task is ProbeTask.REGRESSION:
        return _line_of(_numbers(examples.labels))
    split = task is ProbeTask.MULTI_LABEL
    told = [_several(text) if split else (text.strip(),) for text in examples.labels]
    names = tuple(sorted({name for row in told for name in row}))
    _check_names(names, told, fewest=1 if split else 2)
    _check_weights(len(names), max(space.dim for space in examples.spaces))
    place = {name: at for at, name in enumerate(names)}
    truth = np.zeros((len(told), len(names)), np.uint8)
    for row, here in enumerate(told):
        truth[row, [place[name] for name in here]] = 1
    constant = [n for n, share in zip(names, truth.mean(axis=0), strict=True) if share == 1]
    if split and constant:
        raise InvalidArgument(
            f"`labels` must say of every label where it is not, but {constant[0]!r} is everywhere",
            field="labels",
        )
    return Target(task, names, truth)


def _line_of(values: Doubles) -> Target:
    center, spread = float(values.mean()), float(values.std())
    truth = ((values - center) / spread)[:, None]
    return Target(ProbeTask.REGRESSION, (), truth, center, spread)


def _several(text: str) -> tuple[str, ...]:
    return tuple(part for part in (each.strip() for each in text.split(",")) if part)


def _check_vectors(vectors: Floats, spaces: Sequence[Space]) -> None:
    width = sum(space.dim for space in spaces)
    if not 1 <= len(spaces) <= MOST_SPACES or width > MOST_WIDTH:
        raise InvalidArgument(
            f"`spaces` must be 1 to {MOST_SPACES}, of at most {MOST_WIDTH} dimensions together, "
            f"but are {len(spaces)} of {width}",
            field="spaces",
        )
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise TensorShape(
            f"`vectors` must be [n, {width}], the dimensions of their spaces, "
            f"but is {list(vectors.shape)}",
            field="vectors",
        )
    for start in range(0, len(vectors), 4096):
        rows = vectors[start : start + 4096]
        if not (np.abs(rows) <= LARGEST).all():  # NaN is not
            row = start + int((~(np.abs(rows) <= LARGEST)).any(axis=1).argmax())
            raise TensorShape(
                f"`vectors` must be finite, of at most {LARGEST:g}, but row {row} is not",
                field="vectors",
            )


def _check_weights(labels: int, dim: int) -> None:
    if labels * dim > MOST_WEIGHTS:
        raise InvalidArgument(
            f"`labels` must be at most {MOST_WEIGHTS // dim} for {dim} dimensions, "
            f"but are {labels}",
            field="labels",
        )


def _check_counts(examples: Examples) -> None:
    count = len(examples.vectors)
    rows = {"labels": len(examples.labels), "groups": len(examples.groups)}
    if examples.baseline is not None:
        rows["baseline"] = len(examples.baseline)
        if examples.baseline.ndim != 2 or not np.isfinite(examples.baseline).all():
            raise TensorShape("`baseline` must be [n, any] and finite", field="baseline")
    for name, found in rows.items():
        if found != count:
            raise InvalidArgument(
                f"`{name}` must be one for each of {count} vectors, but are {found}", field=name
            )


def _numbers(labels: Sequence[str]) -> Doubles:
    try:
        values = np.array([float(text) for text in labels])
    except ValueError as error:
        raise InvalidArgument(
            f"`labels` of a regression must be numbers, but: {error}", field="labels"
        ) from error
    if not (np.abs(values) <= MOST_VALUE).all():
        raise InvalidArgument(
            f"`labels` of a regression must be finite, of at most {MOST_VALUE:g}", field="labels"
        )
    if len(np.unique(values)) < 2:
        raise InvalidArgument("`labels` must be of at least 2 values, but are of 1", field="labels")
    return values


def _check_names(names: Sequence[str], told: Sequence[tuple[str, ...]], *, fewest: int) -> None:
    if not fewest <= len(names) <= MOST_LABELS:
        raise InvalidArgument(
            f"`labels` must be {fewest} to {MOST_LABELS} different ones, but are {len(names)}",
            field="labels",
        )
    for name in names:
        if not 0 < len(name) <= MOST_LABEL_CHARS:
            raise InvalidArgument(
                f"`labels` must be of 1 to {MOST_LABEL_CHARS} characters, but one has {len(name)}",
                field="labels",
            )
    together = sum(len(name.encode()) for name in names)
    if together > MOST_LABEL_BYTES or not all(name.isprintable() for name in names):
        raise InvalidArgument(
            f"`labels` must be printable, of at most {MOST_LABEL_BYTES} bytes together, "
            f"but have {together}",
            field="labels",
        )
    if len(names) * len(told) > MOST_CELLS:
        raise InvalidArgument(
            f"`labels` must be at most {MOST_CELLS // len(told)} different ones for {len(told)} "
            f"examples, but are {len(names)}",
            field="labels",
        )
    if fewest == 1 and len(told) < 2:
        raise InvalidArgument("`labels` must be at least 2, but are fewer", field="labels")
