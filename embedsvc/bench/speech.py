"""Speech of any length: the clips that come with the package, one after the other."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from embedsvc import samples
from embedsvc.audio import Door, decode
from embedsvc.timing import to_samples
from embedsvc.types import Floats

SHORTEST, LONGEST = 2.0, 20.0
"""Seconds of mixed speech: one window of the service, nearly all of what people say at once."""


def of_lengths(lengths: Sequence[float]) -> list[Floats]:
    """Speech (N,) of so many seconds each, no two from the same place while there is enough."""
    track = _track()
    found, at = [], 0
    for seconds in lengths:
        places = np.arange(at, at + to_samples(seconds)) % len(track)
        found.append(track[places])
        at += len(places)
    return found


def mixed_lengths(count: int, seed: int) -> list[float]:
    """Seconds, each length from the shortest to the longest as likely as the next."""
    drawn = np.random.default_rng(seed).uniform(SHORTEST, LONGEST, count)
    return [round(float(seconds), 2) for seconds in drawn]


@cache
def _track() -> Floats:
    """All clips to be searched, in the order of their index: some minutes."""
    return np.concatenate(
        [decode(clip.data(), Door()).samples for clip in samples.clips("archive")]
    )
