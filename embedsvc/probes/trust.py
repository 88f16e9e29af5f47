"""What out-of-fold scores teach: temperature, prediction sets, and what is unknown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls, minimize

from embedsvc.probes.examples import Places, Target
from embedsvc.probes.evidence import gathered, summed
from embedsvc.probes.numbers import KNOTS, RANKS
from embedsvc.probes.scores import log_odds, losses, cooled
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]


def temperature(logits: Doubles, target: Target, rows: Places) -> float:
    """The one number to divide raw scores by that makes them likeliest (Guo et al. 2017)."""
    truth = target.truth[rows].astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(losses(logits / np.exp(log_temperature), truth, target.task).mean())

    found = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return float(np.exp(found.x))


def cooled_loss(logits: Doubles, target: Target, rows: Places) -> float:
    """Mean loss after the best temperature; of a regression, mean squared error."""
    if target.task is ProbeTask.REGRESSION:
        return float(np.square(logits - target.truth[rows]).mean())
    best = temperature(logits, target, rows)
    return float(losses(logits / best, target.truth[rows].astype(np.float64), target.task).mean())


def quantile_up(scores: Doubles, alpha: float) -> float:
    """The conformal quantile: the smallest score that a share 1 - alpha of n + 1 stays within."""
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha)))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def least_probabilities(told: Doubles, target: Target, rows: Places, alpha: float) -> Floats:
    """Probability (C,) from which a label is in the prediction set."""
    truth = target.truth[rows] > 0
    enough = int(np.ceil(5 / alpha))
    everyone = 1 - quantile_up(1 - told[truth], alpha)
    least = np.full(told.shape[1], everyone)
    for label in range(told.shape[1]):
        mine = told[truth[:, label], label]
        if len(mine) >= enough:
            least[label] = 1 - quantile_up(1 - mine, alpha)
    return np.maximum(least, 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Weighing:
    """`Numbers.evidence`, `quantiles` and `floors`."""

    evidence: Floats
    quantiles: Floats
    floors: Floats


def weighing(known: Doubles, strange: Doubles | None, refused: float) -> Weighing:
    """How evidence (n, 3) of speech and (m, 3) of what is none is to be weighed."""
    center, spread = known.mean(axis=0), known.std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    weight = np.where(known.std(axis=0) > 1e-6, 1.0, 0.0)
    if strange is not None:
        weight = _weight((known - center) / spread, (strange - center) / spread)
    rows = np.stack([center, spread, weight]).astype(np.float32)
    quantiles = np.quantile(summed(known, rows), RANKS).astype(np.float32)
    floors = np.quantile(known, refused, axis=0).astype(np.float32)
    return Weighing(rows, quantiles, floors)


def _weight(known: Doubles, strange: Doubles) -> Doubles:
    """Logistic regression of speech against what is none; none of three counts against."""
    x = np.concatenate([known, strange])
    sign = np.concatenate([np.ones(len(known)), -np.ones(len(strange))])
    much = np.concatenate(
        [np.full(len(known), 0.5 / len(known)), np.full(len(strange), 0.5 / len(strange))]
    )

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        margin = sign * (x @ flat[:3] + flat[3])
        slope = -much * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        value = float(much @ np.logaddexp(0, -margin)) + 0.005 * float(flat[:3] @ flat[:3])
        return value, np.append(slope @ x + 0.01 * flat[:3], slope.sum())

    found = minimize(
        loss,
        np.array([1.0, 1.0, 1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * 3 + [(None, None)],
    )
    weight: Doubles = found.x[:3]
    return weight if weight.any() else np.ones(3)
