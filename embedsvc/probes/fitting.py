"""Fitting: on some rows, and out of fold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from embedsvc.probes.descent import descend
from embedsvc.probes.evidence import distances, unit
from embedsvc.probes.examples import Places, Target
from embedsvc.probes.numbers import MOST_REFERENCE_NUMBERS, MOST_REFERENCES
from embedsvc.probes.objective import Line, Problem, Scale, from_flat, to_flat
from embedsvc.probes.progress import Progress
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]

MOST_STEPS = 200
"""Iterations of one fit; the last digits of a probe do not matter."""

CLOSE = 1e-4
"""Largest slope of the mean loss that a fit stops at, as in scikit-learn."""

ROUGHLY = 1e-3
"""The same while choosing among fits."""

MANY = 20_000
"""Examples from which choices are made on so many of them, and trust is learned in one fold."""


@dataclass(frozen=True, eq=False)
class Data:
    """What is learned from: vectors (n, D) of `spaces` to be mixed, and their target.

    At most `kept` of the vectors are references.
    """

    vectors: Floats
    target: Target
    balanced: bool
    spaces: int = 1
    kept: int = MOST_REFERENCES

    def problem(self, rows: Places) -> Problem:
        """That of `rows`."""
        return Problem(
            task=self.target.task,
            vectors=self.vectors,
            rows=rows,
            truth=self.target.truth,
            weights=self._weights(rows),
            scale=Scale.of(self.vectors, rows),
            spaces=self.spaces,
        )

    def _weights(self, rows: Places) -> Floats:
        """How much each example counts, (n, 1), or for each label, (n, C)."""
        truth = self.target.truth
        if not self.balanced or self.target.task is ProbeTask.REGRESSION:
            return np.ones((len(truth), 1), np.float32)
        counts = truth[rows].sum(axis=0, dtype=np.float64)
        if self.target.task is ProbeTask.SINGLE_LABEL:
            each = len(rows) / (np.count_nonzero(counts) * np.maximum(counts, 1))
            weights: Floats = each[self.target.classes][:, None].astype(np.float32)
            return weights
        there = (len(rows) / (2 * np.maximum(counts, 1))).astype(np.float32)
        absent = (len(rows) / (2 * np.maximum(len(rows) - counts, 1))).astype(np.float32)
        counted: Floats = np.where(truth > 0, there, absent)
        return counted


@dataclass(frozen=True, eq=False)
class Fit:
    """A line, and the problem that it solves."""

    problem: Problem
    line: Line

    def logits(self, rows: Places) -> Floats:
        """Raw scores (n, C) of any rows of the same data."""
        return self.problem.logits(self.line, rows)

    @property
    def mix(self) -> Floats:
        """The weight of each space, (L,)."""
        shares: Floats = softmax(self.line.mix).astype(np.float32)
        return shares


@dataclass(frozen=True)
class Effort:
    """How a line is sought: how far (`strength`), how closely, and from where."""

    strength: float
    close: float = CLOSE
    start: Line | None = None


def fit(data: Data, rows: Places, effort: Effort, progress: Progress) -> Fit:
    """The best line for `rows`."""
    problem = data.problem(rows)

    def look(flat: Doubles) -> tuple[float, Doubles]:
        progress.step()
        value, slope = problem.value(from_flat(flat, problem), effort.strength)
        return value, to_flat(slope, problem)

    start = to_flat(effort.start or problem.start(), problem)
    best = descend(look, start, most=MOST_STEPS, close=effort.close)
    return Fit(problem, from_flat(best, problem))


def references(data: Data, rows: Places, seed: int) -> NDArray[np.float16]:
    """Unit vectors (R, D) of training speech: about as many of each label."""
    count = min(data.kept, max(1, MOST_REFERENCE_NUMBERS // data.vectors.shape[1]))
    chosen = spread(rows, data.target, count, seed)
    return unit(data.vectors[chosen]).astype(np.float16)


def spread(rows: Places, target: Target, count: int, seed: int) -> Places:
    """At most `count` of `rows`, taken from the labels in turn; the first labels of several."""
    if len(rows) <= count:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    if target.task is ProbeTask.REGRESSION:
        return np.sort(shuffled[:count])
    label = target.classes[shuffled]
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label)
    turn = np.empty(len(rows), np.intp)
    turn[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:count]])


def some(rows: Places, count: int, seed: int) -> Places:
    """At most `count` of `rows`, by chance."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What fits said of `rows` (n,) that they had not seen: logits (n, C), distances (n,)."""

    rows: Places
    logits: Doubles
    far: Doubles


def out_of_fold(
    data: Data, rows: Places, fold_of: Places, effort: Effort, progress: Progress, seed: int
) -> OutOfFold:
    """Scores of `rows` by fits on the other folds; `fold_of` is of the same rows."""
    found: list[OutOfFold] = []
    for fold in np.unique(fold_of[fold_of >= 0])[: 1 if len(rows) > MANY else None]:
        progress.begin("cross-validation", MOST_STEPS)
        inside = fold_of == fold
        known, asked = rows[~inside], rows[inside]
        logits = fit(data, known, effort, progress).logits(asked).astype(np.float64)
        near = references(data, known, seed).astype(np.float32)
        found.append(OutOfFold(asked, logits, distances(data.vectors[asked], near)))
    return OutOfFold(
        np.concatenate([each.rows for each in found]),
        np.concatenate([each.logits for each in found]),
        np.concatenate([each.far for each in found]),
    )
