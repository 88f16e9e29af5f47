"""Which utterances are padded together, and to what length: pure functions."""

from collections.abc import Sequence

NEIGHBOR = 0.7
"""Of the longest: the shortest utterance that is padded to its length. Batches of the service are
formed by the same rule and stay whole.
"""

STEPS = 8
"""Rungs from one power of two to the next: at most an eighth is padding, a sixteenth on average."""

LEAST = 16
"""Frames between rungs at the low end, a third of a second."""


def rung(length: int) -> int:
    """The length that `length` frames are padded to: one of few.

    >>> rung(1), rung(100), rung(129), rung(500), rung(513), rung(1500)
    (16, 112, 144, 512, 576, 1536)
    """
    octave = 1 << max(0, (length - 1).bit_length() - 1)  # the power of two below
    space = max(LEAST, octave // STEPS)
    return -(-length // space) * space


def neighborhoods(lengths: Sequence[int]) -> list[list[int]]:
    """Places in `lengths` of those that are padded together, each in the order given.

    No two have the same rung.

    >>> neighborhoods([100, 500, 95, 490])
    [[1, 3], [0, 2]]
    """
    found: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[place]
        if not found or (length < NEIGHBOR * longest and rung(length) < rung(longest)):
            found.append([])
            longest = length
        found[-1].append(place)
    return [sorted(places) for places in found]
