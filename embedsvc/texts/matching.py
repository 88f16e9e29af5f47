"""Where phones stand among other phones, approximately.

The cost of a match is that of the cheapest edits which make a stretch of what was heard the
query: a semi-global alignment (Sellers 1980, "The theory and computation of evolutionary
distances: pattern recognition"). All sequences are aligned at once, a phone of the query at a time:
within a row, what an insertion carries over is a running minimum of costs less those of the
insertions so far.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.texts.articulation import distance

Numbers = NDArray[np.uint16]
Costs = NDArray[np.int32]

SCALE = 64
"""What one phone that is not there costs: whole numbers add up exactly."""

INSERTED = 32
"""What one phone too many costs: half of one that is not there. With it, more recordings are
found first than with 64 or 48, of synthetic voices and of people (docs/search.md)."""

MAX_PHONES = 200
"""Of a query."""

CHUNK = 1 << 14
"""Phones aligned at once; rows of so many stay in a processor's cache."""


@dataclass(frozen=True)
class Occurrence:
    """Phones `start` up to `end` of a sequence; `score` is 1 where they are the query's."""

    score: float
    start: int
    end: int


def costs(query: Sequence[str], symbols: Sequence[str]) -> Costs:
    """What it costs to hear each of `symbols` for each phone of the query (M, P)."""
    table = [[distance(wanted, heard) for heard in symbols] for wanted in query]
    return np.rint(np.array(table, np.float64).reshape(len(query), -1) * SCALE).astype(np.int32)


def scores(table: Costs, sequences: Sequence[Numbers]) -> NDArray[np.float64]:
    """How well the query of `table` (M, P) is in each sequence of symbols, from 0 to 1."""
    best = [np.zeros(0, np.int32)]
    best += [_best(table, part) for part in _chunks(sequences)]
    return 1.0 - np.concatenate(best) / float(SCALE * len(table))


def occurrences(table: Costs, sequence: Numbers, most: int, least: float = 0.0) -> list[Occurrence]:
    """The best stretches of one sequence that do not overlap, at most `most`, best first.

    Those that score `least` or less are left out.
    """
    ends = _ends(table, *_joined([sequence], table.shape[1]))[1:]
    whole = SCALE * len(table)
    found: list[Occurrence] = []
    free = np.ones(len(sequence), np.bool_)
    while len(found) < most and free.any():
        end = int(np.where(free, ends, whole).argmin())
        score = 1.0 - int(ends[end]) / whole
        if not free[end] or score <= least:
            break
        start = _start(table, sequence[: end + 1], int(ends[end]))
        if free[start : end + 1].all():
            found.append(Occurrence(score, start, end + 1))
            # What begins within is mostly the same match, a few phones later.
            free[start : end + 1] = False
        else:
            free[end] = False
    return found


def _chunks(sequences: Iterable[Numbers]) -> Iterator[list[Numbers]]:
    part: list[Numbers] = []
    size = 0
    for sequence in sequences:
        if part and size + len(sequence) > CHUNK:
            yield part
            part, size = [], 0
        part.append(sequence)
        size += len(sequence) + 1
    if part:
        yield part


def _best(table: Costs, sequences: Sequence[Numbers]) -> Costs:
    """The least cost in each of the sequences."""
    joined, begins = _joined(sequences, table.shape[1])
    least: Costs = np.minimum.reduceat(_ends(table, joined, begins), begins)
    return least


def _joined(sequences: Sequence[Numbers], wall: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sequences one after the other, each behind a `wall`, and where these stand."""
    lengths = np.array([len(each) + 1 for each in sequences])
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    joined = np.full(int(lengths.sum()), wall, np.intp)
    inner = np.ones(len(joined), np.bool_)
    inner[begins] = False
    joined[inner] = np.concatenate(sequences)
    return joined, begins


def _ends(table: Costs, joined: NDArray[np.intp], begins: NDArray[np.intp]) -> Costs:
    """The least cost of a match that ends with each phone; a wall is before the first one."""
    high = np.int32(SCALE * (len(table) + 1))
    walled = np.concatenate([table, np.full((len(table), 1), high, np.int32)], axis=1)
    steps = np.full(len(joined), INSERTED, np.int32)
    steps[begins] = high
    carried = np.cumsum(steps, dtype=np.int64)
    small = carried[-1] < 2**31 - int(high)
    offsets = carried.astype(np.int32 if small else np.int64)
    row = np.zeros(len(joined), offsets.dtype)
    shifted = np.empty_like(row)
    taken = np.empty(len(joined), np.int32)
    for substituted in walled:
        shifted[0] = high
        shifted[1:] = row[:-1]
        np.take(substituted, joined, out=taken, mode="clip")
        shifted += taken
        row += SCALE
        np.minimum(row, shifted, out=row)
        row -= offsets
        np.minimum.accumulate(row, out=row)
        row += offsets
    return row.astype(np.int32)


def _start(table: Costs, before: Numbers, cost: int) -> int:
    """Where the shortest match of this cost begins whose end is that of `before`."""
    reach = len(table) + cost // INSERTED + 1
    window = before[-reach:][::-1]
    row = np.arange(len(window) + 1, dtype=np.int32) * INSERTED
    offsets = row.copy()
    for substituted in table[::-1]:
        diagonal = row[:-1] + substituted[window]
        row = row + SCALE
        np.minimum(row[1:], diagonal, out=row[1:])
        row = np.minimum.accumulate(row - offsets) + offsets
    length = 1 + int(np.flatnonzero(row[1:] == cost)[0])
    return len(before) - length
