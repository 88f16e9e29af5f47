"""What out-of-fold scores teach: temperature, curves, prediction sets, what is unknown."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize_scalar

from embedsvc.probes.evidence import ranks
from embedsvc.probes.examples import Places, Target
from embedsvc.probes.numbers import KNOTS, RANKS
from embedsvc.probes.scores import losses
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]

FEWEST_FOR_A_CURVE = 20
"""Examples with a label, and without, from which it gets a curve of its own."""

ENOUGH_SCORES = 1 << 22
"""Raw scores that one number is learned from; of more, every so many examples are taken."""

FEWEST_MISSES = 20
"""Misses that are expected of a label's own examples, for a threshold of its own.

With 5, prediction sets of 94 languages held the truth less often than without (87 % against 92 %):
the examples of a label are from few speakers.
"""


def temperature(logits: Doubles, target: Target, rows: Places) -> float:
    """What to divide raw scores (n, C) by to make the truth likeliest (Guo et al. 2017)."""
    step = 1 + logits.size // ENOUGH_SCORES
    logits, rows = logits[::step], rows[::step]
    truth = target.truth[rows].astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(losses(logits / np.exp(log_temperature), truth, target.task).mean())

    found = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return float(np.exp(found.x))


def cooled_loss(logits: Doubles, target: Target, rows: Places) -> float:
    """Mean loss after the best temperature; of a regression, the mean squared error."""
    truth = target.truth[rows].astype(np.float64)
    if target.task is ProbeTask.REGRESSION:
        return float(np.square(logits - truth).mean())
    best = temperature(logits, target, rows)
    return float(losses(logits / best, truth, target.task).mean())


def curves(odds: Doubles, truth: Doubles, heat: float) -> Floats:
    """For each label, the calibrated probability at each of `KNOTS`, (C, K).

    Isotonic regression of the truth (n, C) on log-odds (n, C) (Zadrozny and Elkan 2002); labels
    with few examples are cooled by the temperature `heat` instead.
    """
    plain = 1 / (1 + np.exp(-KNOTS / heat))
    found = np.tile(plain, (odds.shape[1], 1))
    least = 1 / (len(odds) + 2)
    for label in range(odds.shape[1]):
        count = truth[:, label].sum()
        if min(count, len(odds) - count) < FEWEST_FOR_A_CURVE:
            continue
        order = np.argsort(odds[:, label], kind="stable")
        rising = isotonic_regression(truth[order, label]).x
        at, first = np.unique(odds[order, label], return_index=True)
        found[label] = np.clip(np.interp(KNOTS, at, rising[first]), least, 1 - least)
    return found.astype(np.float32)


def conformal_quantile(scores: Doubles, alpha: float) -> float:
    """The score that a share 1 - `alpha` of new ones stays within (Vovk et al. 2005).

    Infinite when there are too few to tell.
    """
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha)))
    return float(np.sort(scores)[rank - 1]) if 0 < rank <= len(scores) else np.inf


def least_probabilities(told: Doubles, truth: NDArray[np.bool_], alpha: float) -> Floats:
    """Probability (C,) from which a label is in the prediction set (Sadinle et al. 2019).

    Of `told` (n, C) for examples with `truth` (n, C). A label with enough examples has a
    threshold of its own, so that a rare one is covered as often as a frequent one.
    """
    least = np.full(told.shape[1], 1 - conformal_quantile(1 - told[truth], alpha))
    for label in range(told.shape[1]):
        mine = told[truth[:, label], label]
        if len(mine) * alpha >= FEWEST_MISSES:
            least[label] = 1 - conformal_quantile(1 - mine, alpha)
    bounded: Floats = np.maximum(least, 0).astype(np.float32)
    return bounded


def best_answers(told: Doubles, truth: NDArray[np.bool_]) -> Floats:
    """Probability (C,) from which a label is answered: that with the best F1 (n, C)."""
    best = np.full(told.shape[1], 0.5)
    for label in range(told.shape[1]):
        order = np.argsort(-told[:, label], kind="stable")
        hits = np.cumsum(truth[order, label])
        if not hits[-1]:
            continue
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
        at = int(f1.argmax())
        after = told[order[min(at + 1, len(order) - 1)], label]
        best[label] = (told[order[at], label] + after) / 2
    return best.astype(np.float32)


def quantiles(known: Doubles) -> tuple[Floats, Floats]:
    """`Numbers.evidence` and `Numbers.belonging` of evidence (n, 3) of speech."""
    each = np.quantile(known, RANKS, axis=0).T.astype(np.float32)
    together = np.quantile(ranks(known, each).min(axis=1), RANKS).astype(np.float32)
    return each, together
