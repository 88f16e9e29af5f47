"""Medians, quartiles and percentiles: what a few measurements say, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

PERCENTS = (50, 95, 99)


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """That of at least one value."""
        return cls(*(percentile(values, percent) for percent in (25, 50, 75)))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie, straight between neighbors.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 50), percentile([1.0, 2.0], 100), percentile([7.0], 99)
    (2.5, 2.0, 7.0)
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    part = place - low
    return ordered[low] * (1 - part) + ordered[high] * part


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The percentiles that are told of latencies, by name; empty without values."""
    return {f"p{percent}": percentile(values, percent) for percent in PERCENTS if values}
