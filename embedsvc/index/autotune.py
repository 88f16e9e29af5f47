"""How hard an accelerator has to look: measured on what it holds and on what it is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from embedsvc.index.accelerator import EFFORTS
from embedsvc.index.changes import Keys
from embedsvc.index.flat import use_one_thread
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

NEAREST = 10
"""Neighbors of a query that are looked for."""

STORED = 200
"""Vectors of the base that are asked for their neighbors, themselves left out."""

FEWEST = 50
"""Recent queries from which on they have to reach the target by themselves too.

They are what matters, and may lie elsewhere: in another language, or from another microphone.
"""

CONFIDENCE_Z = 1.645
"""Normal quantile of 95 %, one-sided."""

BLOCK = 16_384
"""Vectors compared at once; 64 MB at 1,024 dimensions."""

ROUNDING = 1e-5
"""More than two ways to compute one score can differ, as in a view."""

Propose = Callable[[Floats, int], Keys]
"""Positions proposed for a query (D,) at an effort."""


@dataclass(frozen=True)
class Point:
    """The least effort that reaches the target, and the recall measured there.

    `effort` is None when none does; `recall` is then that of the most.
    """

    effort: int | None
    recall: float
    measured_on: int


def tune(
    codes: Halves,
    recent: Sequence[Floats],
    propose: Propose,
    target: float,
    check: Callable[[], None],
) -> Point:
    """Walk the efforts upward until recall is `target` with 95 % confidence.

    `codes` (N, D) are what is proposed from. Recall is the share of the true `NEAREST` among the
    proposed: these are scored exactly, so that it is also the recall of the answers. `check` is
    called often, and may raise to end the work.
    """
    picked = np.random.default_rng(len(codes)).permutation(len(codes))[:STORED]
    queries = np.concatenate([codes[picked].astype(np.float32), *(each[None] for each in recent)])
    selves = np.concatenate([picked, np.full(len(recent), -1)])
    limits = _limits(codes, queries, selves, check)
    shares = np.zeros(len(queries))
    for effort in EFFORTS:
        check()
        for number, query in enumerate(queries):
            places = propose(query, effort)
            places = places[places != selves[number]]
            scores = codes[places].astype(np.float32) @ query
            shares[number] = np.count_nonzero(scores >= limits[number])
        shares = np.minimum(shares / min(NEAREST, len(codes) - 1), 1)
        groups = [shares[: len(picked)]]
        if len(recent) >= FEWEST:
            groups.append(shares[len(picked) :])
        if all(lower_bound(float(group.mean()), len(group)) >= target for group in groups):
            return Point(effort, float(shares.mean()), len(queries))
    return Point(None, float(shares.mean()), len(queries))


def lower_bound(share: float, count: int) -> float:
    """Least share that `count` trials with this one leave credible (Wilson, 1927).

    Queries are the trials, not their neighbors, which are found or missed together; the share of
    a query lies between 0 and 1, and so varies at most as much as a trial that fails or succeeds.
    """
    z = CONFIDENCE_Z
    middle = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float((middle - spread) / (1 + z * z / count))


def _limits(codes: Halves, queries: Floats, selves: Keys, check: Callable[[], None]) -> Floats:
    """The score of the last of the nearest of each query (Q, D), itself left out.

    By score, not by name: among equals any will do. A part of `codes` at a time.
    """
    best = np.zeros((len(queries), 0), np.float32)
    places = np.zeros((len(queries), 0), np.int64)
    for first in range(0, len(codes), BLOCK):
        check()
        block = codes[first : first + BLOCK].astype(np.float32)
        use_one_thread()
        want = min(NEAREST + 1, len(block))
        scores, found = faiss.knn(queries, block, want, metric=faiss.METRIC_INNER_PRODUCT)
        best = np.concatenate([best, scores], axis=1)
        places = np.concatenate([places, found + first], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, : NEAREST + 1]
        best = np.take_along_axis(best, order, axis=1)
        places = np.take_along_axis(places, order, axis=1)
    others = np.where(places == selves[:, None], -np.inf, best)
    limits: Floats = -np.sort(-others, axis=1)[:, min(NEAREST, len(codes) - 1) - 1]
    return limits - ROUNDING
