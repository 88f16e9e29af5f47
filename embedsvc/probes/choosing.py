"""The choice of strength and layer, by cross-validation that parts no group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedsvc.probes.examples import Places
from embedsvc.probes.fitting import MANY, MOST_STEPS, ROUGHLY, Data, Effort, Fit, fit, some
from embedsvc.probes.progress import Progress
from embedsvc.probes.trust import cooled_loss

FINALISTS = 3
"""Layers of which every strength is tried; of more, only one strength is."""

Choices = Mapping[tuple[int, ...], Data]
"""What may be learned from, by the places of its spaces."""


@dataclass(frozen=True)
class Tried:
    """A choice of spaces and strength, and its mean loss in cross-validation.

    The loss is that after the best temperature, since one is fitted anyway: without it, strong
    regularization wins because it is modest.
    """

    spaces: tuple[int, ...]
    strength: float
    loss: float


def fits_to_choose(spaces: int, strengths: int, folds: int) -> int:
    """How many fits `choose` takes at most."""
    first = spaces if spaces > FINALISTS else 0
    return (first + min(spaces, FINALISTS) * strengths) * folds


def choose(
    choices: Choices, rows: Places, fold_of: Places, strengths: Sequence[float], progress: Progress
) -> list[Tried]:
    """What was tried, the best first; `fold_of` is of the same rows."""
    asked = some(np.arange(len(rows)), MANY, 0)
    rows, fold_of = rows[asked], fold_of[asked]
    rising = sorted(set(strengths))
    finalists = list(choices)
    if len(choices) > FINALISTS:
        middle = [rising[len(rising) // 2]]
        first = [_path(k, d, rows, fold_of, middle, progress)[0] for k, d in choices.items()]
        finalists = [each.spaces for each in sorted(first, key=_loss)[:FINALISTS]]
    tried = [
        each
        for spaces in finalists
        for each in _path(spaces, choices[spaces], rows, fold_of, rising, progress)
    ]
    return sorted(tried, key=_loss)


def _loss(tried: Tried) -> float:
    return tried.loss


def _path(
    spaces: tuple[int, ...],
    data: Data,
    rows: Places,
    fold_of: Places,
    strengths: Sequence[float],
    progress: Progress,
) -> list[Tried]:
    """The loss with each strength; each fit begins where that of the one before ended."""
    before: dict[int, Fit] = {}
    tried = []
    for strength in strengths:
        logits, asked = [], []
        for fold in np.unique(fold_of[fold_of >= 0]).tolist():
            progress.begin("choosing", MOST_STEPS)
            inside = fold_of == fold
            start = before[fold].line if fold in before else None
            fitted = fit(data, rows[~inside], Effort(strength, ROUGHLY, start), progress)
            before[fold] = fitted
            logits.append(fitted.logits(rows[inside]).astype(np.float64))
            asked.append(rows[inside])
        loss = cooled_loss(np.concatenate(logits), data.target, np.concatenate(asked))
        tried.append(Tried(spaces, strength, loss))
    return tried
