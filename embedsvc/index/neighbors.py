"""The nearest of every vector, for work on whole collections."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np

from embedsvc.index.changes import Keys
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

BLOCK = 32_768
"""Vectors turned to float32 at once, of each side: 128 MB at 1,024 dimensions."""

ROWS = 2_048
"""Queries between two looks at whether to go on."""

Tick = Callable[[int], None]
"""Told how many queries are done; raises to end the work."""


@dataclass(frozen=True)
class Neighbors:
    """Scores (N, k) and places (N, k) of the nearest, the best first.

    Where there are fewer than k, places are -1 and scores are -inf.
    """

    scores: Floats
    places: Keys


def nearest(
    queries: Halves, stored: Halves, k: int, tick: Tick, *, same: bool = False
) -> Neighbors:
    """The `k` nearest in `stored` (M, D) of each of `queries` (N, D), by product.

    `same` says that both are one array, in which nothing is its own neighbor.
    """
    count, extra = len(queries), int(same)
    scores = np.full((count, k + extra), -np.inf, np.float32)
    places = np.full((count, k + extra), -1, np.int64)
    faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    for first in range(0, len(stored), BLOCK):
        block = stored[first : first + BLOCK].astype(np.float32)
        for row in range(0, count, ROWS):
            tick(row * (first + len(block)) // max(1, len(stored)))
            rows = slice(row, row + ROWS)
            wanted = min(k + extra, len(block))
            found = faiss.knn(
                queries[rows].astype(np.float32), block, wanted, metric=faiss.METRIC_INNER_PRODUCT
            )
            _merge(scores[rows], places[rows], found[0], found[1] + first)
    tick(count)
    if same:
        return _without_self(scores, places)
    return Neighbors(scores, places)


def _merge(scores: Floats, places: Keys, more: Floats, there: Keys) -> None:
    """Put what is better of `more` into `scores` and `places`, in place; earlier ones first."""
    joined = np.concatenate([scores, more], axis=1)
    where = np.concatenate([places, there], axis=1)
    order = np.argsort(-joined, axis=1, kind="stable")[:, : scores.shape[1]]
    scores[:] = np.take_along_axis(joined, order, axis=1)
    places[:] = np.take_along_axis(where, order, axis=1)


def _without_self(scores: Floats, places: Keys) -> Neighbors:
    """One column less: each row's own place goes, or its last when equal ones crowded it out."""
    own = places == np.arange(len(places))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(places), places.shape[1] - 1)
    return Neighbors(scores[~own].reshape(shape), places[~own].reshape(shape))
