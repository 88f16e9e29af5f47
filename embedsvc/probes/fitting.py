"""Fitting: on some rows, out of fold, and with what strength and layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedsvc.probes.evidence import distances, unit
from embedsvc.probes.examples import Places, Target
from embedsvc.probes.numbers import MOST_REFERENCE_NUMBERS, MOST_REFERENCES
from embedsvc.probes.objective import Line, Problem, Scale, least, mixed
from embedsvc.probes.progress import Progress
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]

MOST_STEPS = 200
"""Iterations of one fit; the last digits of a probe do not matter."""

CLOSE = 1e-4
"""Largest slope of the mean loss that a fit stops at, as in scikit-learn."""


@dataclass(frozen=True, eq=False)
class Data:
    """What is learned from: vectors (n, D) of `spaces` to be mixed, and their target."""

    vectors: Floats
    target: Target
    balanced: bool
    spaces: int = 1

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
            return each[self.target.classes][:, None].astype(np.float32)
        there = (len(rows) / (2 * np.maximum(counts, 1))).astype(np.float32)
        absent = (len(rows) / (2 * np.maximum(len(rows) - counts, 1))).astype(np.float32)
        return np.where(truth > 0, there, absent)


@dataclass(frozen=True, eq=False)
class Fit:
    """A line, the problem that it solves, and the unit vectors it is near to."""

    problem: Problem
    line: Line
    references: Floats

    def moved(self, vectors: Floats) -> Floats:
        """z (n, d) of vectors (n, D)."""
        rows = np.arange(len(vectors))
        shares = _shares(self.line)
        return mixed(replace(self.problem, vectors=vectors).parts(rows), shares)


def _shares(line: Line) -> Floats:
    raised = np.exp(line.mix - line.mix.max())
    shares: Floats = (raised / raised.sum()).astype(np.float32)
    return shares


def fit(
    data: Data,
    rows: Places,
    strength: float,
    progress: Progress,
    seed: int,
    line: Line | None = None,
) -> Fit:
    """The best line for `rows`, begun from `line`."""
    problem = data.problem(rows)
    start = line or problem.start()
    best = least(problem, strength, start, most=MOST_STEPS, close=CLOSE, step=progress.step)
    return Fit(problem, best, references(problem, best, data.target, seed))


def references(problem: Problem, line: Line, target: Target, seed: int) -> Floats:
    """Unit vectors (R, d) of training speech: about as many of each label."""
    count = min(MOST_REFERENCES, max(1, MOST_REFERENCE_NUMBERS // problem.width))
    chosen = _spread(problem.rows, target, count, np.random.default_rng(seed))
    kept = unit(mixed(problem.parts(chosen), _shares(line)))
    halves: Floats = kept.astype(np.float16).astype(np.float32)
    return halves


def _spread(rows: Places, target: Target, count: int, chance: np.random.Generator) -> Places:
    """At most `count` of `rows`, taken from the labels in turn."""
    shuffled = chance.permutation(rows)
    if target.task is ProbeTask.REGRESSION or len(rows) <= count:
        return np.sort(shuffled[:count])
    label = target.classes[shuffled]
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label)
    turn = np.empty(len(rows), np.intp)
    turn[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:count]])


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What fits said of `rows` (n,) that they had not seen: logits (n, C), distances (n,)."""

    rows: Places
    logits: Doubles
    far: Doubles


def out_of_fold(
    data: Data, rows: Places, fold_of: Places, strength: float, progress: Progress, seed: int
) -> OutOfFold:
    """Scores of `rows` by fits on the other folds; `fold_of` (n,) is of all."""
    parts = []
    for fold in np.unique(fold_of[rows][fold_of[rows] >= 0]):
        progress.begin("cross-validation", MOST_STEPS)
        inside = fold_of[rows] == fold
        asked = rows[inside]
        fitted = fit(data, rows[~inside], strength, progress, seed)
        logits = fitted.problem.logits(fitted.line, asked)
        moved = fitted.moved(data.vectors[asked])
        parts.append(
            OutOfFold(asked, logits.astype(np.float64), distances(moved, fitted.references))
        )
    return OutOfFold(
        *(np.concatenate([getattr(p, n) for p in parts]) for n in ("rows", "logits", "far"))
    )


@dataclass(frozen=True)
class Tried:
    """A choice of spaces and strength, and its loss in cross-validation."""

    spaces: tuple[int, ...]
    strength: float
    loss: float


def searched(
    datas: Sequence[tuple[tuple[int, ...], Data]],
    rows: Places,
    fold_of: Places,
    strengths: Sequence[float],
    progress: Progress,
) -> list[Tried]:
    """The loss of every choice, each strength begun from the one before it."""
    from embedsvc.probes.trust import cooled_loss  # noqa: PLC0415

    tried = []
    for spaces, data in datas:
        lines: dict[int, Line] = {}
        for strength in sorted(strengths):
            logits, asked_all = [], []
            for fold in np.unique(fold_of[rows][fold_of[rows] >= 0]):
                progress.begin("choosing", MOST_STEPS)
                inside = fold_of[rows] == fold
                problem = data.problem(rows[~inside])
                start = lines.get(int(fold), problem.start())
                line = least(
                    problem, strength, start, most=MOST_STEPS, close=CLOSE, step=progress.step
                )
                lines[int(fold)] = line
                logits.append(problem.logits(line, rows[inside]))
                asked_all.append(rows[inside])
            asked = np.concatenate(asked_all)
            loss = cooled_loss(np.concatenate(logits).astype(np.float64), data.target, asked)
            tried.append(Tried(spaces, strength, loss))
    return tried
