"""Where in a long sequence of codes a short one runs by.

Scores are found for every end in the recording side by side; the path to one of them is found
afterwards, from the few codes before it.

Letters: n codes of the query, m of the recording. A similarity of -inf is a wall: nothing goes
through it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from embedsvc.types import Floats

STEPS = 2
"""Codes of the recording that one of the query may pass at most."""

NEVER = np.float32(-np.inf)

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Path:
    """Which code of the query meets which of the recording, in order: pairs, and their scores."""

    pairs: Runs
    similarities: tuple[float, ...]


def whole(similarity: Floats) -> Floats:
    """Scores (m,) of the best path of the whole query that ends at each code: its mean.

    Subsequence dynamic time warping with an asymmetric step (Sakoe and Chiba 1978): each code of
    the query counts once, and the recording goes on by zero, one or two codes meanwhile.
    """
    total: Floats = similarity[0].astype(np.float32)
    for row in similarity[1:]:
        total = _forward(total)
        total += row
    total /= np.float32(len(similarity))
    return total


def local(similarity: Floats, level: float) -> Floats:
    """Scores (m,) of the best path of any part of the query that ends at each code.

    The local alignment of Smith and Waterman (1981) with the steps of `whole`; a score is the sum
    of what the similarities are above `level`, over n.
    """
    total = np.zeros(similarity.shape[1], np.float32)
    best = np.full(similarity.shape[1], NEVER)
    for row in similarity:
        total = _forward(total)
        np.maximum(total, 0, out=total)
        total += row
        total -= np.float32(level)
        np.maximum(best, total, out=best)
    best /= np.float32(len(similarity))
    return best


def any_order(similarity: Floats) -> Floats:
    """Scores (m,) of the n codes that end at each code: MaxSim (Khattab and Zaharia 2020).

    Each code of the query counts with the code of the stretch that is most like it; the score is
    their mean. Walls must be n codes wide, as a stretch may lie over a narrower one.
    """
    count = len(similarity)
    # The filter is to look back n - 1 codes, and not ahead.
    back = (count - 1) - count // 2
    near = maximum_filter1d(similarity, count, axis=1, origin=back, mode="constant", cval=NEVER)
    scores: Floats = near.mean(axis=0)
    scores[similarity[0] == NEVER] = NEVER
    return scores


def path_of_whole(similarity: Floats) -> Path:
    """The best path of the whole query that ends at the last code of `similarity` (n, m)."""
    totals = [similarity[0].astype(np.float32)]
    for row in similarity[1:]:
        totals.append(_forward(totals[-1]) + row)
    return _back(similarity, totals, len(totals) - 1, level=None)


def path_of_part(similarity: Floats, level: float) -> Path:
    """The best path of any part of the query that ends at the last code of `similarity`."""
    totals: list[Floats] = []
    for row in similarity:
        before = _forward(totals[-1]) if totals else np.zeros(len(row), np.float32)
        totals.append(np.maximum(before, 0) + row - np.float32(level))
    last = int(np.argmax([total[-1] for total in totals]))
    return _back(similarity, totals, last, level)


def _forward(total: Floats) -> Floats:
    """The best total each code can be reached with, from up to `STEPS` codes before it."""
    best = total.copy()
    for step in range(1, STEPS + 1):
        np.maximum(best[step:], total[:-step], out=best[step:])
    return best


def _back(similarity: Floats, totals: list[Floats], row: int, level: float | None) -> Path:
    """The path to the last code; one with a `level` begins where nothing good came before."""
    column = similarity.shape[1] - 1
    pairs = [(row, column)]
    while row > 0:
        first = max(0, column - STEPS)
        before = totals[row - 1][first : column + 1][::-1]
        step = int(np.argmax(before))  # the shortest of equal ones
        if level is not None and before[step] <= 0:
            break
        row, column = row - 1, column - step
        pairs.append((row, column))
    pairs.reverse()
    return Path(tuple(pairs), tuple(float(similarity[pair]) for pair in pairs))
