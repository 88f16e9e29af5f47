"""From a fit and its out-of-fold scores to a probe that can be asked."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedsvc.probes.evidence import gathered
from embedsvc.probes.fitting import Data, Fit, OutOfFold
from embedsvc.probes.numbers import KNOTS, Numbers, digest_of
from embedsvc.probes.probe import Probe
from embedsvc.probes.scores import log_odds, probabilities
from embedsvc.probes.trust import (
    best_answers,
    conformal_quantile,
    curves,
    least_probabilities,
    quantiles,
    temperature,
)
from embedsvc.types import ProbeInfo, ProbeRecipe, ProbeTask, Space

ISOTONIC = "isotonic"
TEMPERATURE = "temperature"

_WIDEST = 1e30
"""Half of an interval when there were too few examples to tell."""


@dataclass(frozen=True, eq=False)
class Parts:
    """All that a probe is made of."""

    data: Data
    fit: Fit
    unseen: OutOfFold
    references: NDArray[np.float16]
    spaces: tuple[Space, ...]


def assembled(parts: Parts, recipe: ProbeRecipe) -> Probe:
    """The probe, without a name."""
    target = parts.data.target
    info = ProbeInfo(
        name="",
        version=0,
        task=target.task,
        labels=target.labels,
        spaces=parts.spaces,
        created_at=0.0,
        digest="",
        alpha=recipe.alpha,
        min_speech_seconds=recipe.min_speech_seconds,
    )
    more = _labels if target.labels else _values
    numbers = more(parts, _line(parts, recipe), recipe)
    return Probe(replace(info, digest=digest_of(numbers, info)), numbers)


def _line(parts: Parts, recipe: ProbeRecipe) -> Numbers:
    """The numbers that say what is told, before any is trusted."""
    labels = max(1, len(parts.data.target.labels))
    scale = parts.fit.problem.scale
    unseen = parts.unseen
    scores = unseen.logits if parts.data.target.labels else np.zeros_like(unseen.logits)
    known, together = quantiles(gathered(scores, unseen.far))
    return Numbers(
        mean=scale.mean,
        scale=scale.factor,
        mix=parts.fit.mix,
        weights=parts.fit.line.weights.astype(np.float32),
        bias=parts.fit.line.bias.astype(np.float32),
        temperature=np.ones(1, np.float32),
        curve=np.zeros((0, len(KNOTS)), np.float32),
        least=np.zeros(labels, np.float32),
        answers=np.full(labels, 0.5, np.float32),
        references=parts.references,
        evidence=known,
        belonging=together,
        refused=np.array([recipe.false_unknowns], np.float32),
    )


def _values(parts: Parts, numbers: Numbers, recipe: ProbeRecipe) -> Numbers:
    """Raw scores in the units of the numbers that were learned, with an interval around them."""
    target, line, unseen = parts.data.target, parts.fit.line, parts.unseen
    off = np.abs(unseen.logits - target.truth[unseen.rows])[:, 0] * target.spread
    half = min(conformal_quantile(off, recipe.alpha), _WIDEST)
    return replace(
        numbers,
        weights=(line.weights * target.spread).astype(np.float32),
        bias=(line.bias * target.spread + target.center).astype(np.float32),
        least=np.array([half], np.float32),
    )


def _labels(parts: Parts, numbers: Numbers, recipe: ProbeRecipe) -> Numbers:
    """Calibrated, with thresholds for answers and prediction sets."""
    target, unseen = parts.data.target, parts.unseen
    truth = target.truth[unseen.rows] > 0
    heat = temperature(unseen.logits, target, unseen.rows)
    numbers = replace(numbers, temperature=np.array([heat], np.float32))
    if recipe.calibration == ISOTONIC:
        odds = log_odds(unseen.logits, target.task)
        numbers = replace(numbers, curve=curves(odds, truth.astype(np.float64), heat))
    told = probabilities(unseen.logits, numbers, target.task)
    numbers = replace(numbers, least=least_probabilities(told, truth, recipe.alpha))
    if target.task is ProbeTask.MULTI_LABEL:
        numbers = replace(numbers, answers=best_answers(told, truth))
    return numbers
