"""From raw scores to probabilities: temperature, or a curve for each label."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax

from embedsvc.probes.numbers import KNOTS, Numbers
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]

LEAST_PROBABILITY = 1e-6
"""What a curve says at least, so that no label is impossible."""


def cooled(logits: Floats | Doubles, temperature: float, task: ProbeTask) -> Doubles:
    """Probabilities (n, C) of raw scores (n, C) divided by `temperature`."""
    wide = np.asarray(logits, np.float64) / temperature
    result: Doubles = softmax(wide, axis=1) if task is ProbeTask.SINGLE_LABEL else expit(wide)
    return result


def log_odds(logits: Floats | Doubles, task: ProbeTask) -> Doubles:
    """Logarithm of p / (1 - p) of each label against all others, (n, C)."""
    wide = np.asarray(logits, np.float64)
    if task is ProbeTask.MULTI_LABEL:
        return wide
    inside: Doubles = np.minimum(log_softmax(wide, axis=1), -1e-12)
    odds: Doubles = inside - np.log(-np.expm1(inside))
    return odds


def curved(odds: Doubles, curve: Floats, task: ProbeTask) -> Doubles:
    """Probabilities (n, C) by the `curve` (C, K) of each label at its log-odds (n, C)."""
    step = KNOTS[1] - KNOTS[0]
    place = np.clip((odds - KNOTS[0]) / step, 0, len(KNOTS) - 1)
    below = np.minimum(place.astype(np.intp), len(KNOTS) - 2)
    part = place - below
    label = np.arange(odds.shape[1])
    at = curve.astype(np.float64)
    between = at[label, below] * (1 - part) + at[label, below + 1] * part
    told: Doubles = np.clip(between, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    if task is ProbeTask.SINGLE_LABEL:
        told /= told.sum(axis=1, keepdims=True)
    return told


def probabilities(logits: Floats | Doubles, numbers: Numbers, task: ProbeTask) -> Doubles:
    """Calibrated probabilities (n, C) of raw scores (n, C)."""
    if len(numbers.curve):
        return curved(log_odds(logits, task), numbers.curve, task)
    return cooled(logits, float(numbers.temperature[0]), task)


def losses(logits: Floats | Doubles, truth: Doubles, task: ProbeTask) -> Doubles:
    """Negative log-likelihood (n,) of `truth` (n, C), of 0 and 1, under raw scores (n, C)."""
    wide = np.asarray(logits, np.float64)
    if task is ProbeTask.SINGLE_LABEL:
        likely = truth * log_softmax(wide, axis=1)
    else:
        likely = truth * log_expit(wide) + (1 - truth) * log_expit(-wide)
    loss: Doubles = -np.sum(likely, axis=1)
    return loss
