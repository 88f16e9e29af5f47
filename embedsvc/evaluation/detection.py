"""How well occurrences of terms in long recordings are detected.

The term-weighted value of the NIST evaluations of spoken term detection (Fiscus, Ajot, Garofolo
and Doddington 2007, "Results of the 2006 spoken term detection evaluation").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BETA = 999.9
"""What a false alarm costs beside a miss: value 1, cost 0.1, a prior of 0.0001 for a term."""


@dataclass(frozen=True)
class Detection:
    """A place that a system says a term is at; each occurrence may be `right` once only."""

    term: int
    score: float
    right: bool


def best_term_weighted_value(
    detections: Sequence[Detection], occurrences: Mapping[int, int], seconds: float
) -> float:
    """MTWV: 1 - mean over terms of (P(miss) + BETA * P(false alarm)), at the best threshold.

    `occurrences` of each term are at least 1. A term has one trial a second of the archive:
    P(false alarm) is false alarms over (`seconds` - occurrences). To detect nothing is worth 0.

    >>> found = [Detection(0, 0.9, True), Detection(0, 0.1, False)]
    >>> best_term_weighted_value(found, {0: 2}, 3600.0)
    0.5
    """
    terms = len(occurrences)
    misses, alarms, best = float(terms), 0.0, 0.0
    ordered = sorted(detections, key=lambda each: -each.score)
    for place, detection in enumerate(ordered):
        count = occurrences[detection.term]
        if detection.right:
            misses -= 1 / count
        else:
            alarms += 1 / (seconds - count)
        # Equal scores are over a threshold together.
        if place + 1 == len(ordered) or ordered[place + 1].score < detection.score:
            best = max(best, 1 - (misses + BETA * alarms) / terms)
    return best
