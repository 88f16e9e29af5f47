"""The nearest segments whose recordings still exist and meet the filter."""

from collections import Counter
from dataclasses import dataclass, field

import apsw

from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter, kind
from embedsvc.filters import matches as meets
from embedsvc.index import reads
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Doubles
from embedsvc.index.view import Nearest, View
from embedsvc.types import Found, Hit, Limit, MetadataValue

MAX_HITS = 10_000
"""Hits of one search."""

SLACK = 16
"""Segments fetched beyond the hits wanted, for those gone since and for equal scores."""

PER_RECORDING = 4
"""Segments fetched for one hit when a recording counts once."""

WIDENING = 4
"""How many times more segments are fetched when there were too few."""


WIDEST = 4_096
"""Segments looked through for hits that a limit allows; more may be far away, or nowhere."""

WIDENINGS = (1, 4)
"""How many times its effort the accelerator makes before all that is allowed is scored."""


@dataclass(frozen=True)
class Search:
    """One search: the `k` nearest to `query`, a unit vector (D,) of a space."""

    part: Part
    query: Doubles
    k: int
    condition: Filter | None = None
    exclude_id: str | None = None
    group: bool = False
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_HITS:
            raise InvalidArgument(
                f"`top_k` must be 1-{MAX_HITS}, but is {self.k}", field="top_k", limit_hits=MAX_HITS
            )
        if self.limit is not None and (self.limit.count < 1 or not self.limit.field):
            raise InvalidArgument(
                f"`at_most` must be of a field and 1 or more, but is {self.limit.count} "
                f"of {self.limit.field[:80]!r}",
                field="at_most",
            )

    def run(
        self, view: View, connection: apsw.Connection, gather_limit: int
    ) -> tuple[Found, list[int]]:
        """The answer from `view` and the rows in the same state, and the segments of its hits.

        There are fewer than `k` hits only when no more are allowed: dead segments, excluded ones
        and equal scores at the end make it look further. Behind a limit, it looks no further than
        the nearest `WIDEST` segments, and is not exact then.
        """
        there = view.spaces[self.part.number]
        allowed = None if self.condition is None else there.allowed(connection, self.condition)
        want = self.k * (PER_RECORDING if self.group or self.limit else 1) + SLACK
        widenings = list(WIDENINGS)
        while True:
            widening = widenings.pop(0) if widenings else 0
            nearest = there.nearest(self.query, want, allowed, gather_limit, widening)
            kept = self._kept(nearest, connection)
            hits = tuple(kept.hits)
            sure = len(hits) == self.k and (not nearest.exact or hits[-1].score > nearest.floor)
            ended = self.limit is not None and want >= max(WIDEST, self.k)
            if sure or nearest.complete or ended:
                exact = nearest.exact and (sure or nearest.complete)
                return Found(hits, view.sequence, exact, nearest.scanned), kept.sids
            want *= WIDENING

    def _kept(self, nearest: Nearest, connection: apsw.Connection) -> "_Kept":
        kept = _Kept(self)
        first = 0
        while len(kept.hits) < self.k and first < len(nearest.sids):
            last = first + self.k - len(kept.hits) + SLACK
            sids = nearest.sids[first:last].tolist()
            found = reads.matches(connection, sids)
            for sid, score in zip(sids, nearest.scores[first:last].tolist(), strict=True):
                match = found.get(sid)
                if match is not None and self._accepts(match):
                    kept.add(sid, match, score)
            first = last
        return kept

    def _accepts(self, match: reads.Match) -> bool:
        # Checked again because selectors of FAISS have been known to leak (faiss issue 5504).
        fits = self.condition is None or meets(self.condition, match.metadata)
        return fits and match.id != self.exclude_id


@dataclass
class _Kept:
    """Hits and their segments, as many as the search lets be."""

    search: Search
    hits: list[Hit] = field(default_factory=list)
    sids: list[int] = field(default_factory=list)
    _recordings: set[int] = field(default_factory=set)
    _values: Counter[tuple[str, MetadataValue] | None] = field(default_factory=Counter)

    def add(self, sid: int, match: reads.Match, score: float) -> None:
        """Take a segment that is allowed, unless there are enough like it."""
        search = self.search
        if len(self.hits) == search.k or (search.group and match.rid in self._recordings):
            return
        if search.limit is not None:
            value = match.metadata.get(search.limit.field)
            # To Python true equals 1; to filters it does not.
            key = None if value is None else (kind(value), value)
            if self._values[key] == search.limit.count:
                return
            self._values[key] += 1
        self._recordings.add(match.rid)
        self.hits.append(Hit(match.id, score, match.span, match.metadata))
        self.sids.append(sid)
