"""The nearest segments whose recordings still exist and meet the filter."""

from dataclasses import dataclass

import apsw

from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter
from embedsvc.filters import matches as meets
from embedsvc.index import reads
from embedsvc.index.prepared import Doubles
from embedsvc.index.view import Nearest, View
from embedsvc.types import Found, Hit

MAX_HITS = 10_000
"""Hits of one search."""

SLACK = 16
"""Segments fetched beyond the hits wanted, for those gone since and for equal scores."""

PER_RECORDING = 4
"""Segments fetched for one hit when a recording counts once."""

WIDENING = 4
"""How many times more segments are fetched when there were too few."""


WIDENINGS = (1, 4)
"""How many times its effort the accelerator makes before all that is allowed is scored."""


@dataclass(frozen=True)
class Search:
    """One search: the `k` nearest to `query`, a unit vector (D,)."""

    query: Doubles
    k: int
    condition: Filter | None = None
    exclude_id: str | None = None
    group: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_HITS:
            raise InvalidArgument(
                f"`top_k` must be 1-{MAX_HITS}, but is {self.k}", field="top_k", limit_hits=MAX_HITS
            )

    def run(self, view: View, connection: apsw.Connection, gather_limit: int) -> Found:
        """The answer from `view` and the rows in the same state.

        There are fewer than `k` hits only when no more are allowed: dead segments, excluded ones
        and equal scores at the end make it look further.
        """
        allowed = None if self.condition is None else view.allowed(connection, self.condition)
        want = self.k * (PER_RECORDING if self.group else 1) + SLACK
        widenings = list(WIDENINGS)
        while True:
            widening = widenings.pop(0) if widenings else 0
            nearest = view.nearest(self.query, want, allowed, gather_limit, widening)
            hits = self._hits(nearest, connection)
            sure = len(hits) == self.k and (not nearest.exact or hits[-1].score > nearest.floor)
            if sure or nearest.complete:
                return Found(tuple(hits), view.sequence, nearest.exact, nearest.scanned)
            want *= WIDENING

    def _hits(self, nearest: Nearest, connection: apsw.Connection) -> list[Hit]:
        hits: list[Hit] = []
        seen: set[int] = set()
        first = 0
        while len(hits) < self.k and first < len(nearest.sids):
            last = first + self.k - len(hits) + SLACK
            sids = nearest.sids[first:last].tolist()
            found = reads.matches(connection, sids)
            for sid, score in zip(sids, nearest.scores[first:last].tolist(), strict=True):
                match = found.get(sid)
                if match is not None and match.rid not in seen and self._accepts(match):
                    hits.append(Hit(match.id, score, match.span, match.metadata))
                    if self.group:
                        seen.add(match.rid)
            first = last
        return hits[: self.k]

    def _accepts(self, match: reads.Match) -> bool:
        # Checked again because selectors of FAISS have been known to leak (faiss issue 5504).
        fits = self.condition is None or meets(self.condition, match.metadata)
        return fits and match.id != self.exclude_id
