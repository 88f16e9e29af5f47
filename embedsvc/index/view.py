"""What a search sees: the base of a space, the tail after it, and the state of the rows they match.

Nothing in a published view changes, and a new one is published by assigning one reference, so
that searches need no lock. FAISS crashes when an index is searched while it grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import apsw
import numpy as np

from embedsvc.filters import Filter
from embedsvc.index.allowed import Allowed, Growing, Held
from embedsvc.index.base import Base
from embedsvc.index.changes import Change, Keys
from embedsvc.index.fitted import Fitted, direction, moved
from embedsvc.index.flat import best, best_of_halves
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Doubles, Halves
from embedsvc.transforms import Transform
from embedsvc.types import Floats

ROUNDING = 1e-5
"""More than two ways to compute one score can differ: float32 sums of 1,024 products of parts
of unit vectors differ by less than 2e-6."""

RESCORED = 4_096
"""Vectors scored again at once; 32 MB at 1,024 dimensions."""


GATHERED = 256
"""One in so many allowed segments, and copying them out beats FAISS skipping the others."""


@dataclass(frozen=True)
class Tail:
    """Segments stored since the base; rows from `count` on are room to grow.

    Views share these arrays: only the newest may append, and only behind every reader's count.
    """

    sids: Keys
    vectors: Floats
    count: int
    metadata: Growing = field(default_factory=Growing)

    def __len__(self) -> int:
        return self.count

    def appended(self, sids: Keys, vectors: Halves) -> "Tail":
        """This and more segments, in the same arrays while they have room."""
        count = self.count + len(sids)
        tail = self if count <= len(self.sids) else self._grown(count)
        tail.sids[self.count : count] = sids
        tail.vectors[self.count : count] = vectors
        return replace(tail, count=count)

    def after(self, sid: int) -> "Tail":
        """The segments after `sid`, in arrays of their own."""
        first = int(np.searchsorted(self.sids[: self.count], sid, side="right"))
        sids, vectors = self.sids[first : self.count], self.vectors[first : self.count]
        return Tail(sids.copy(), vectors.copy(), len(sids))

    def _grown(self, count: int) -> "Tail":
        capacity = max(64, 2 * count)
        sids = np.zeros(capacity, np.int64)
        vectors = np.zeros((capacity, self.vectors.shape[1]), np.float32)
        sids[: self.count] = self.sids[: self.count]
        vectors[: self.count] = self.vectors[: self.count]
        return Tail(sids, vectors, self.count, self.metadata)


def empty_tail(dim: int) -> Tail:
    """A tail without segments."""
    return Tail(np.zeros(0, np.int64), np.zeros((0, dim), np.float32), 0)


@dataclass(frozen=True)
class Refit:
    """All segments of the space `part` through another transform, or through none."""

    part: Part
    base: Base
    tail: Tail
    fitted: Fitted | None


@dataclass(frozen=True)
class Nearest:
    """Segments by score, best first, then by age; `scanned` were scored.

    A segment that is not among them scores less than `floor`, or was not allowed, or was not
    proposed: the latter only when not `exact`. `complete` says that none was left out.
    """

    sids: Keys
    scores: Doubles
    floor: float
    scanned: int
    exact: bool
    complete: bool


@dataclass(frozen=True)
class _Part:
    """The best of the base: `positions`, and what `Nearest` says of all."""

    positions: Keys
    floor: float
    scanned: int
    exact: bool = True


@dataclass(frozen=True)
class SpaceView:
    """All segments in one space of a collection.

    Base and tail hold vectors as they are searched: those stored, through `fitted`.
    """

    part: Part
    base: Base
    tail: Tail
    fitted: Fitted | None = None

    def __len__(self) -> int:
        """Segments in memory, those whose rows are gone among them."""
        return len(self.base) + len(self.tail)

    @property
    def upto(self) -> int:
        """The last segment it holds."""
        return int(self.tail.sids[len(self.tail) - 1]) if len(self.tail) else self.base.upto

    def allowed(self, connection: apsw.Connection, condition: Filter) -> Allowed:
        """What of it meets `condition`; `connection` is in the same state."""
        tail = self.tail.sids[: len(self.tail)]
        held = Held(self.base.sids, tail, self.base.columns, self.tail.metadata)
        return held.allowed(connection, condition)

    def appended(self, sids: Keys, rows: Halves) -> "SpaceView":
        """This and more segments, of which `rows` (N, width) are stored."""
        vectors = moved(self.transform, self.part.of(rows))
        return replace(self, tail=self.tail.appended(sids, vectors))

    def direction(self, query: Doubles) -> Doubles:
        """A unit query (D,) of the space as this view is searched with."""
        return direction(self.transform, query)

    @property
    def transform(self) -> Transform | None:
        """What stored vectors and queries go through."""
        return None if self.fitted is None else self.fitted.transform

    def rebased(self, base: Base) -> "SpaceView":
        """The same segments on a newer base."""
        return replace(self, base=base, tail=self.tail.after(base.upto))

    def on(self, base: Base) -> "SpaceView":
        """The same on the same base, with other company."""
        return replace(self, base=base)

    def nearest(
        self,
        query: Doubles,
        want: int,
        allowed: Allowed | None,
        gather_limit: int,
        widening: int = 0,
    ) -> Nearest:
        """At least the `want` best segments for the unit vector `query` (D,), or all there are.

        With a `widening` they may be those that the accelerator proposes at so many times its
        effort. The scores are computed again from the stored vectors, one by one, so that they
        do not depend on where a segment is held or who scored it first.
        """
        coarse = query.astype(np.float32)
        base = self._best_of_base(coarse, want, allowed, gather_limit, widening)
        held = base.positions
        fresh, floor = self._best_of_tail(coarse, want, allowed)
        sids = np.concatenate([self.base.sids[held], self.tail.sids[fresh]])
        scores = np.concatenate(
            [_scores(self.base.codes, held, query), _scores(self.tail.vectors, fresh, query)]
        )
        order = np.lexsort((sids, -scores))
        scanned = base.scanned + (len(self.tail) if allowed is None else len(allowed.tail))
        return Nearest(
            sids[order],
            scores[order],
            max(base.floor, floor) + ROUNDING,
            scanned,
            base.exact,
            base.exact and len(sids) == scanned,
        )

    def _best_of_base(
        self,
        query: Floats,
        want: int,
        allowed: Allowed | None,
        gather_limit: int,
        widening: int,
    ) -> _Part:
        base = self.base
        mask = None if allowed is None else allowed.base
        held = len(base) if mask is None else int(np.count_nonzero(mask))
        if mask is not None and held <= max(gather_limit, len(base) // GATHERED):
            found, floor = _best_among(base.codes, np.flatnonzero(mask), query, want)
            return _Part(found, floor, held)
        if not len(base):
            return _Part(np.zeros(0, np.int64), -np.inf, 0)
        if widening and base.proposals is not None:
            proposed = base.proposals.near(query, want, widening, mask)
            if proposed is not None:
                found, floor = _best_among(base.codes, proposed, query, want)
                return _Part(found, floor, len(proposed), exact=False)
        found, scores = base.search(query, want, mask)
        return _Part(found, _floor(scores, held), held)

    def _best_of_tail(
        self, query: Floats, want: int, allowed: Allowed | None
    ) -> tuple[Keys, float]:
        vectors = self.tail.vectors[: len(self.tail)]
        if allowed is not None:
            return _best_among(vectors, allowed.tail, query, want)
        found, scores = best(vectors, query, want)
        return found, _floor(scores, len(vectors))


@dataclass(frozen=True)
class View:
    """The state of a collection after write number `sequence`; counts are of live rows.

    All `spaces` hold the same segments.
    """

    spaces: tuple[SpaceView, ...]
    sequence: int
    recordings: int
    segments: int

    def dead(self, part: Part) -> int:
        """Segments that a space has in memory and whose rows are gone."""
        return len(self.spaces[part.number]) - self.segments

    def changed(self, changes: Sequence[Change | Refit], sequence: int) -> "View":
        """The view after `changes`; not to be used unless they are committed."""
        view = replace(self, sequence=sequence)
        for change in changes:
            view = view.after(change)
        return view

    def after(self, change: Change | Refit) -> "View":
        """The view after one change of the same write."""
        if isinstance(change, Refit):
            return self.having(SpaceView(change.part, change.base, change.tail, change.fitted))
        return replace(
            self,
            spaces=tuple(each.appended(change.sids, change.rows) for each in self.spaces),
            recordings=self.recordings + change.recordings,
            segments=self.segments + change.segments,
        )

    def having(self, space: SpaceView) -> "View":
        """The same with another view of one space."""
        spaces = list(self.spaces)
        spaces[space.part.number] = space
        return replace(self, spaces=tuple(spaces))


def _best_among(
    vectors: Floats | Halves, positions: Keys, query: Floats, want: int
) -> tuple[Keys, float]:
    if len(positions) <= want:
        return positions, -np.inf
    chosen = vectors[positions]
    if chosen.dtype == np.float16:
        found, scores = best_of_halves(cast("Halves", chosen), query, want)
    else:
        found, scores = best(cast("Floats", chosen), query, want)
    return positions[found], _floor(scores, len(positions))


def _floor(scores: Floats, held: int) -> float:
    """The score that no segment left out can exceed, given those of the best of `held`."""
    return float(scores.min(initial=np.inf)) if len(scores) < held else -np.inf


def _scores(vectors: Floats | Halves, positions: Keys, query: Doubles) -> Doubles:
    """Products with `query`, each row on its own: a matrix product may sum rows differently."""
    parts = [
        (vectors[positions[first : first + RESCORED]] * query).sum(axis=1)
        for first in range(0, len(positions), RESCORED)
    ]
    return np.concatenate([np.zeros(0), *parts])
