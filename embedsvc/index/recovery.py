"""From what is on disk to a view: the saved base if it can be trusted, and rows for the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import apsw

from embedsvc.errors import DataLoss
from embedsvc.index import fitted, reads
from embedsvc.index.base import Base, BaseFile, build
from embedsvc.index.changes import Keys
from embedsvc.index.fitted import digest, moved
from embedsvc.index.outcomes import Tuning
from embedsvc.index.prepared import Halves
from embedsvc.index.view import Tail, View, empty_tail
from embedsvc.transforms import Transform


@dataclass(frozen=True)
class Recovered:
    """A view of the rows; empty when `damage` says which of them are not whole.

    `saved` is whether its base is the one on disk.
    """

    view: View
    saved: bool = True
    damage: DataLoss | None = None


def recover(
    connection: apsw.Connection, base_file: BaseFile, dim: int, tuning: Tuning
) -> Recovered:
    """The state of the rows; nothing may be writing to them."""
    sequence, (recordings, segments) = reads.sequence(connection), reads.counts(connection)
    last = reads.last_sid(connection)
    nothing = build((), dim, 0)
    try:
        known = fitted.read(connection)
        rows = Rows(connection, dim, None if known is None else known.transform)
        saved = base_file.load(rows.gives, digest(rows.transform), last)
        fresh = segments > tuning.tail_limit
        base = saved or (rows.base(last) if fresh else build((), rows.gives, 0))
        tail = rows.tail(base.upto)
    except DataLoss as damage:
        bare = View(nothing, empty_tail(dim), sequence, recordings, segments)
        return Recovered(bare, damage=damage)
    view = View(base, tail, sequence, recordings, segments, known)
    return Recovered(view, saved=base is saved or not fresh)


@dataclass(frozen=True)
class Rows:
    """The stored vectors of `dim` dimensions, as they are searched through `transform`."""

    connection: apsw.Connection
    dim: int
    transform: Transform | None

    @property
    def gives(self) -> int:
        """Dimensions of what is searched."""
        return self.dim if self.transform is None else self.transform.gives

    def batches(self, after: int, upto: int) -> Iterator[tuple[Keys, Halves]]:
        """Live segments after `after` up to `upto`, a batch at a time; raises DataLoss."""
        for sids, vectors in reads.batches(self.connection, after, upto, self.dim):
            yield sids, moved(self.transform, vectors)

    def base(self, upto: int) -> Base:
        """A base of all up to `upto`."""
        return build(self.batches(0, upto), self.gives, upto)

    def tail(self, after: int) -> Tail:
        """All that came after `after`."""
        tail = empty_tail(self.gives)
        for sids, vectors in self.batches(after, reads.last_sid(self.connection)):
            tail = tail.appended(sids, vectors)
        return tail
