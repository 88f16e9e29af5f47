"""How sure a head is of a frame, in [0, 1].

Letters: V labels, p a distribution over them.
"""

from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from embedsvc.ctc.runs import Doubles

ALPHA = 1 / 3
"""Order of the Tsallis entropy; below 1 small probabilities count for much, so that the many
labels that a head is not quite sure against tell of its errors (Laptev and Ginsburg 2022)."""

_LEAST = 1e-30
"""Below any confidence that a float32 can tell, above where logarithms end."""


class ConfidenceMeasure(StrEnum):
    """What confidence in a frame is computed from: its whole distribution, or the label alone.

    Entropy finds more errors of heads that are far too sure of their best label; of one that is
    not, and has many labels, the probability finds more. A calibration tries both.
    """

    ENTROPY = "entropy"
    PROBABILITY = "probability"


def entropy(log_probs: Doubles) -> Doubles:
    """Tsallis entropy (T,) of distributions (T, V): H = (1 - sum p^a) / (a - 1), a = `ALPHA`."""
    powers: Doubles = np.exp(ALPHA * log_probs).sum(axis=-1)
    found: Doubles = np.maximum(powers - 1, 0) / (1 - ALPHA)
    return found


def largest_entropy(labels: int) -> float:
    """Tsallis entropy of an even distribution over V labels: (V^(1-a) - 1) / (1 - a)."""
    return float((labels ** (1 - ALPHA) - 1) / (1 - ALPHA))


def spread(log_probs: Doubles) -> Doubles:
    """Entropy (T,) from 0, one label is certain, to 1, all are as likely: H / Hmax."""
    return np.minimum(entropy(log_probs) / largest_entropy(log_probs.shape[-1]), 1)


def certainty(log_probs: Doubles) -> Doubles:
    """Exponentially normalized entropy (T,): (e^-H - e^-Hmax) / (1 - e^-Hmax).

    From 0, all labels are as likely, to 1, one is certain (Laptev and Ginsburg 2022,
    arXiv 2212.08703).
    """
    least = np.exp(-largest_entropy(log_probs.shape[-1]))
    found: Doubles = np.clip((np.exp(-entropy(log_probs)) - least) / (1 - least), 0, 1)
    return found


def token_confidence(log_probs: Doubles, label: int, measure: ConfidenceMeasure) -> float:
    """Confidence in a label that is said in frames (T, V): that of its surest frame.

    At its edges a label gives way to the next, so that a mean over its frames would tell how long
    it is. Entropy tells how sure the head is of its best label; for another, which a beam, hot
    words or a given text may have chosen, it is scaled by how much less likely that is.
    """
    own = log_probs[:, label]
    if measure is ConfidenceMeasure.PROBABILITY:
        return min(1.0, float(np.exp(own.max())))
    return float((certainty(log_probs) * np.exp(own - log_probs.max(axis=1))).max())


def geometric_mean(confidences: Iterable[float]) -> float:
    """The geometric mean; that of nothing is 1.

    It is 0 only when a confidence is, since logarithms are added.
    """
    each = np.array(list(confidences), np.float64)
    if not len(each) or not each.min():
        return float(each.size == 0)
    return float(min(1.0, np.exp(np.log(np.maximum(each, _LEAST)).mean())))


def cooled(log_probs: Doubles, temperature: float) -> Doubles:
    """Distributions (T, V) with logits divided by `temperature` (Guo et al. 2017)."""
    if temperature == 1:
        return log_probs
    scaled = log_probs / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    normalized: Doubles = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    return normalized
