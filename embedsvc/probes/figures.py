"""Figures of answers against the truth; each is its formula."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from embedsvc.probes.examples import Places

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 15
"""Of calibration errors."""


def confusion(truth: Places, told: Places, labels: int) -> NDArray[np.intp]:
    """How often each label (C,) was told for each that is true, (C, C)."""
    pairs = np.bincount(truth * labels + told, minlength=labels * labels)
    return pairs.reshape(labels, labels)


def per_label(counts: NDArray[np.intp]) -> Mapping[str, Doubles]:
    """Precision, recall and F1 (C,) of a confusion matrix; 0 where nothing was right."""
    right = np.diag(counts).astype(np.float64)
    told, true = counts.sum(axis=0), counts.sum(axis=1)
    return {
        "precision": right / np.maximum(told, 1),
        "recall": right / np.maximum(true, 1),
        "f1": 2 * right / np.maximum(told + true, 1),
    }


def calibration_error(sure: Doubles, right: Flags, *, equal_mass: bool) -> float:
    """Mean difference of how sure (n,) and how often right (n,), over `BINS` bins.

    Bins with equally many answers, or of equal width (Naeini et al. 2015; Nguyen and O'Connor
    2015 for equal mass).
    """
    order = np.argsort(sure, kind="stable")
    if equal_mass:
        parts = np.array_split(order, BINS)
    else:
        edges = np.searchsorted(sure[order], np.linspace(0, 1, BINS + 1)[1:-1], side="left")
        parts = np.split(order, edges)
    gaps = [abs(float(sure[part].sum()) - float(right[part].sum())) for part in parts]
    return float(np.sum(gaps)) / max(len(sure), 1)


def average_precision(scores: Doubles, truth: Flags) -> float:
    """Mean of the precision at each true example, the best score first; NaN without any."""
    hits = truth[np.argsort(-scores, kind="stable")]
    if not hits.any():
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def f1(told: Flags, truth: Flags) -> Doubles:
    """F1 (C,) of answers (n, C); 0 where nothing was right."""
    right = (told & truth).sum(axis=0)
    result: Doubles = 2 * right / np.maximum(told.sum(axis=0) + truth.sum(axis=0), 1)
    return result


def concordance(told: Doubles, truth: Doubles) -> float:
    """How near (n,) and (n,) are to being equal, 1 when they are (Lin 1989)."""
    shared = np.mean((told - told.mean()) * (truth - truth.mean()))
    apart = told.var() + truth.var() + (told.mean() - truth.mean()) ** 2
    return float(2 * shared / apart) if apart > 0 else 0.0


def rank_correlation(told: Doubles, truth: Doubles) -> float:
    """Correlation of the ranks, equal numbers sharing theirs (Spearman 1904)."""
    a, b = _ranks(told), _ranks(truth)
    if not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Doubles) -> Doubles:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranked: Doubles = (last - (counts - 1) / 2)[place]
    return ranked
