"""Whether confidence tells what is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.runs import Doubles

Bools = NDArray[np.bool_]

BINS = 15
"""Of the calibration error, equally wide (Guo et al. 2017)."""

_LEAST = 1e-6
"""What a confidence of 0 or 1 is taken for, so that one error is not infinitely bad."""


@dataclass(frozen=True)
class ConfidenceFigures:
    """How well confidence in tokens, or words, tells which of them are right.

    `auc` is None where all are right, or all are wrong, and so is `nce`.
    """

    count: int
    wrong: int
    auc: float | None
    ece: float
    nce: float | None


def judge(confidence: Doubles, right: Bools) -> ConfidenceFigures:
    """Figures of confidence (n,) in n things, and whether each is right."""
    wrong = int(np.count_nonzero(~right))
    mixed = 0 < wrong < len(right)
    return ConfidenceFigures(
        count=len(right),
        wrong=wrong,
        auc=area_under_curve(confidence, right) if mixed else None,
        ece=calibration_error(confidence, right),
        nce=normalized_cross_entropy(confidence, right) if mixed else None,
    )


def area_under_curve(confidence: Doubles, right: Bools) -> float:
    """How often something right has more confidence than something wrong; ties count half.

    The area under the ROC curve, by the sum of ranks (Mann and Whitney 1947). Some must be right,
    and some wrong.
    """
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    good = int(np.count_nonzero(right))
    pairs = good * (len(right) - good)
    return float((ranks[right].sum() - good * (good + 1) / 2) / pairs)


def calibration_error(confidence: Doubles, right: Bools) -> float:
    """Expected calibration error: how far confidence is from the share that is right."""
    if not len(right):
        return 0.0
    bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def normalized_cross_entropy(confidence: Doubles, right: Bools) -> float:
    """How much confidence tells of what the share of right ones does not: 1 all, 0 nothing.

    NCE = (H(share) - H(confidence)) / H(share) (Siu et al. 1997); below 0 it misleads. Some must
    be right, and some wrong.
    """
    share = np.full(len(right), right.mean())
    most = _cross_entropy(share, right)
    return float((most - _cross_entropy(confidence, right)) / most)


def _cross_entropy(confidence: Doubles, right: Bools) -> float:
    told = np.clip(confidence, _LEAST, 1 - _LEAST)
    return float(-np.log(np.where(right, told, 1 - told)).mean())
