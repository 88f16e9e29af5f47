"""Pairs of segments that belong together: translations in two collections, copies in one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedsvc.index.changes import Keys
from embedsvc.index.neighbors import Neighbors, Tick, nearest
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

LEAST_MEAN = 0.05
"""Below it, the mean similarity of neighbors says nothing, and must not blow up a ratio."""


@dataclass(frozen=True)
class Pairs:
    """Places in one array and in the other, margin scores and cosines; the best first."""

    left: Keys
    right: Keys
    scores: Floats
    cosines: Floats

    def __len__(self) -> int:
        return len(self.left)


def translations(left: Halves, right: Halves, k: int, tick: Tick) -> Pairs:
    """Each vector with at most one of the other side, by the ratio margin.

    The score is the cosine over the mean of that to the `k` nearest of either (Artetxe and Schwenk
    2019, "Margin-based parallel corpus mining with multilingual sentence embeddings"): how much
    nearer the two are than what else is near. Candidates come from both sides; the best go first,
    and take their two out.
    """
    forward = nearest(left, right, k, tick)
    backward = nearest(right, left, k, lambda done: tick(len(left) + done))
    ahead, behind = _means(forward), _means(backward)
    rows, columns, cosines = _candidates(forward)
    back_columns, back_rows, back_cosines = _candidates(backward)
    rows = np.concatenate([rows, back_rows])
    columns = np.concatenate([columns, back_columns])
    cosines = np.concatenate([cosines, back_cosines])
    scores: Floats = (cosines / ((ahead[rows] + behind[columns]) / 2)).astype(np.float32)
    kept = _one_to_one(rows, columns, scores)
    return Pairs(rows[kept], columns[kept], scores[kept], cosines[kept])


def copies(vectors: Halves, owners: Keys, least: float, k: int, tick: Tick) -> Pairs:
    """Pairs of vectors with a cosine of at least `least`, of different owners; each pair once.

    Each vector is compared with its `k` nearest alone: of more copies than that, some pairs are
    left out, though what belongs together still hangs together.
    """
    near = nearest(vectors, vectors, k, tick, same=True)
    rows, columns, cosines = _candidates(near)
    one, other = np.minimum(rows, columns), np.maximum(rows, columns)
    alike = (cosines >= least) & (owners[one] != owners[other])
    one, other, cosines = one[alike], other[alike], cosines[alike]
    _, first = np.unique(np.stack([one, other]), axis=1, return_index=True)
    order = first[np.lexsort((other[first], one[first], -cosines[first]))]
    return Pairs(one[order], other[order], cosines[order], cosines[order])


def groups(pairs: Pairs, owners: Keys) -> Iterator[list[int]]:
    """Numbers of pairs whose owners hang together, the best first in each."""
    parent: dict[int, int] = {}

    def root(owner: int) -> int:
        while (above := parent.setdefault(owner, owner)) != owner:
            parent[owner] = parent[above]
            owner = parent[owner]
        return owner

    sides = list(zip(owners[pairs.left].tolist(), owners[pairs.right].tolist(), strict=True))
    for one, other in sides:
        parent[root(max(one, other))] = root(min(one, other))
    together: dict[int, list[int]] = {}
    for number, (one, _) in enumerate(sides):
        together.setdefault(root(one), []).append(number)
    yield from together.values()


def _means(near: Neighbors) -> Floats:
    """Mean similarity (N,) of the neighbors that there are."""
    there = near.places >= 0
    sums = np.where(there, near.scores, 0).sum(axis=1)
    means = np.maximum(sums / np.maximum(there.sum(axis=1), 1), LEAST_MEAN)
    return np.asarray(means, np.float32)


def _candidates(near: Neighbors) -> tuple[Keys, Keys, Floats]:
    """Queries, their neighbors and the cosines, one after the other."""
    rows, columns = np.nonzero(near.places >= 0)
    return rows, near.places[rows, columns], near.scores[rows, columns]


def _one_to_one(rows: Keys, columns: Keys, scores: Floats) -> Keys:
    """Numbers of the pairs to keep, the best first; among equals the first of either side."""
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    kept = []
    for number in np.lexsort((columns, rows, -scores)).tolist():
        row, column = int(rows[number]), int(columns[number])
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            kept.append(number)
    return np.array(kept, np.int64)
