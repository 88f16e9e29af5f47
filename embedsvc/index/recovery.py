"""From what is on disk to a view: the saved base if it can be trusted, and rows for the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from embedsvc.errors import DataLoss
from embedsvc.index import fitted, reads
from embedsvc.index.base import Base, BaseFile, build
from embedsvc.index.changes import Keys
from embedsvc.index.fitted import digest, moved
from embedsvc.index.outcomes import Tuning
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Halves
from embedsvc.index.view import SpaceView, Tail, View, empty_tail
from embedsvc.transforms import Transform


@dataclass(frozen=True)
class Recovered:
    """A view of the rows; empty when `damage` says which of them are not whole.

    `saved` says of each space whether its base is the one on disk.
    """

    view: View
    saved: tuple[bool, ...]
    damage: DataLoss | None = None


def recover(
    connection: apsw.Connection,
    parts: Sequence[Part],
    files: Sequence[BaseFile],
    tuning: Tuning,
) -> Recovered:
    """The state of the rows, with a file of the base for each space; nothing may be writing."""
    sequence, (recordings, segments) = reads.sequence(connection), reads.counts(connection)
    fresh = segments > tuning.tail_limit
    damage = None
    try:
        found = [
            _space(connection, part, file, fresh=fresh)
            for part, file in zip(parts, files, strict=True)
        ]
    except DataLoss as error:
        found = [
            (SpaceView(part, build((), part.dim, 0), empty_tail(part.dim)), True) for part in parts
        ]
        damage = error
    spaces, saved = zip(*found, strict=True)
    return Recovered(View(spaces, sequence, recordings, segments), saved, damage)


def _space(
    connection: apsw.Connection, part: Part, file: BaseFile, *, fresh: bool
) -> tuple[SpaceView, bool]:
    """A space, and whether its base is the one on disk; without one, `fresh` asks for another."""
    last = reads.last_sid(connection)
    known = fitted.read(connection, part)
    rows = Rows(connection, part, None if known is None else known.transform)
    saved = file.load(rows.gives, digest(rows.transform), last)
    base = saved or (rows.base(last) if fresh else build((), rows.gives, 0))
    view = SpaceView(part, base, rows.tail(base.upto), known)
    return view, base is saved or not fresh


@dataclass(frozen=True)
class Rows:
    """The stored vectors of one space, as they are searched through `transform`."""

    connection: apsw.Connection
    part: Part
    transform: Transform | None

    @property
    def gives(self) -> int:
        """Dimensions of what is searched."""
        return self.part.dim if self.transform is None else self.transform.gives

    def batches(self, after: int, upto: int) -> Iterator[tuple[Keys, Halves]]:
        """Live segments after `after` up to `upto`, a batch at a time; raises DataLoss."""
        for sids, vectors in reads.batches(self.connection, after, upto, self.part):
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
