"""The sum that a probe makes least, and how it is made least.

As in scikit-learn: strength * sum of weighted losses + |W|^2 / 2, biases free. Vectors are gone
through in blocks of single precision, so that memory is that of one block beside the vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from embedsvc.probes.examples import Places, Truth
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 22
"""Of one block, 16 MiB in single precision."""

_KEPT_NUMBERS = 1 << 25
"""Of scaled vectors that are kept from look to look, 128 MiB; more are scaled anew."""

LEAST_DEVIATION = 1e-6
"""A dimension that varies less, against the largest that does, says nothing."""


@dataclass(frozen=True, eq=False)
class Scale:
    """What moves and divides each dimension: (x - `mean`) * `factor`, both (D,)."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, vectors: Floats, rows: Places) -> "Scale":
        """That which gives `rows` of `vectors` mean 0 and deviation 1; constant ones become 0."""
        mean = np.zeros(vectors.shape[1])
        for part in blocks(rows, vectors.shape[1]):
            mean += vectors[part].sum(axis=0, dtype=np.float64) / len(rows)
        squares = np.zeros_like(mean)
        for part in blocks(rows, vectors.shape[1]):
            squares += np.square(vectors[part] - mean).sum(axis=0) / len(rows)
        deviation = np.sqrt(squares)
        varies = deviation > LEAST_DEVIATION * max(deviation.max(initial=0), 1e-30)
        factor = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
        return cls(mean.astype(np.float32), factor.astype(np.float32))


def blocks(rows: Places, width: int) -> Iterator[Places]:
    """Runs of `rows` of which each makes one block."""
    count = max(64, _BLOCK_NUMBERS // width)
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


@dataclass(frozen=True, eq=False)
class Line:
    """Raw scores z @ `weights` (d, C) + `bias` (C,), with z mixed by `mix` (L,)."""

    mix: Doubles
    weights: Doubles
    bias: Doubles


@dataclass(frozen=True, eq=False)
class Problem:
    """`rows` of `vectors` (n, D), which after `scale` are to be told apart.

    `truth` (n, C) and `weights` (n, C or 1) are of all n. `spaces` parts of equal width are mixed.
    """

    task: ProbeTask
    vectors: Floats
    rows: Places
    truth: Truth
    weights: Floats
    scale: Scale
    spaces: int = 1
    total: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", float(self.weights[self.rows].sum()))

    @property
    def width(self) -> int:
        """Dimensions d of z."""
        return int(self.vectors.shape[1]) // self.spaces

    def start(self) -> Line:
        """Nothing known: equal mix, no weights."""
        classes = self.truth.shape[1]
        return Line(np.zeros(self.spaces), np.zeros((self.width, classes)), np.zeros(classes))

    def parts(self, rows: Places) -> Floats:
        """The scaled vectors (b, L, d) of a block."""
        moved = (self.vectors[rows] - self.scale.mean) * self.scale.factor
        return moved.reshape(len(rows), self.spaces, self.width)

    def logits(self, line: Line, rows: Places) -> Floats:
        """Raw scores (n, C) of any rows."""
        weights = line.weights.astype(np.float32)
        shares = softmax(line.mix).astype(np.float32)
        found = np.empty((len(rows), weights.shape[1]), np.float32)
        done = 0
        for part in blocks(rows, self.vectors.shape[1]):
            found[done : done + len(part)] = mixed(self.parts(part), shares) @ weights
            done += len(part)
        return found + line.bias.astype(np.float32)

    def value(self, line: Line, strength: float) -> tuple[float, Line]:
        """The sum per unit of strength and weight, and its gradient."""
        shares = softmax(line.mix)
        weights = line.weights.astype(np.float32)
        bias = line.bias.astype(np.float32)
        loss = 0.0
        down = np.zeros_like(weights)
        moved, turned = np.zeros_like(line.bias), np.zeros_like(line.mix)
        for rows, parts in self._blocks():
            here = mixed(parts, shares.astype(np.float32))
            block, slope = self._slope(here @ weights + bias, rows)
            loss += block
            down += here.T @ slope
            moved += slope.sum(axis=0, dtype=np.float64)
            if self.spaces > 1:
                turned += np.einsum("nld,nd->l", parts, slope @ weights.T)
        held = 1 / (strength * self.total)
        loss = loss / self.total + held / 2 * float(np.square(line.weights).sum())
        slope_weights = down / self.total + held * line.weights
        inner = turned / self.total
        slope_mix = shares * (inner - shares @ inner)
        return loss, Line(slope_mix, slope_weights, moved / self.total)

    def _blocks(self) -> Iterator[tuple[Places, Floats]]:
        width = self.vectors.shape[1]
        if len(self.rows) * width <= _KEPT_NUMBERS:
            yield from self._kept
        else:
            yield from ((rows, self.parts(rows)) for rows in blocks(self.rows, width))

    @cached_property
    def _kept(self) -> list[tuple[Places, Floats]]:
        return [(rows, self.parts(rows)) for rows in blocks(self.rows, self.vectors.shape[1])]

    def _slope(self, logits: Floats, rows: Places) -> tuple[float, Floats]:
        """The losses of a block, summed, and their slope (b, C)."""
        truth = self.truth[rows].astype(np.float32)
        weights = self.weights[rows].astype(np.float32)
        if self.task is ProbeTask.REGRESSION:
            off = logits - truth
            return float((weights * off * off).sum(dtype=np.float64)) / 2, weights * off
        if self.task is ProbeTask.MULTI_LABEL:
            losses = np.logaddexp(0, logits) - truth * logits
            return float((weights * losses).sum(dtype=np.float64)), weights * (
                expit(logits) - truth
            )
        top = logits.max(axis=1, keepdims=True)
        raised = np.exp(logits - top)
        whole = raised.sum(axis=1, keepdims=True)
        losses = np.log(whole) + top - np.einsum("nc,nc->n", truth, logits)[:, None]
        slope: Floats = weights * (raised / whole - truth)
        return float((weights * losses).sum(dtype=np.float64)), slope


def mixed(parts: Floats, shares: Floats) -> Floats:
    """The sum (n, d) of the parts (n, L, d), each times its share (L,)."""
    if len(shares) == 1:
        return parts[:, 0]
    found: Floats = np.einsum("nld,l->nd", parts, shares)
    return found


def to_flat(line: Line, problem: Problem) -> Doubles:
    """All numbers of a line in a row; the mix is among them when there is a choice."""
    mix = line.mix if problem.spaces > 1 else line.mix[:0]
    return np.concatenate([mix, line.weights.ravel(), line.bias])


def from_flat(flat: Doubles, problem: Problem) -> Line:
    """The line of `to_flat`."""
    mixes = problem.spaces if problem.spaces > 1 else 0
    classes = problem.truth.shape[1]
    end = len(flat) - classes
    mix = flat[:mixes] if mixes else np.zeros(1)
    return Line(mix, flat[mixes:end].reshape(-1, classes), flat[end:])
