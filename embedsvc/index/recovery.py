"""From what is on disk to a view: the saved base if it can be trusted, and rows for the rest."""

from dataclasses import dataclass

import apsw

from embedsvc.errors import DataLoss
from embedsvc.index import reads
from embedsvc.index.base import Base, BaseFile, build
from embedsvc.index.outcomes import Tuning
from embedsvc.index.view import View, empty_tail


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
    saved = base_file.load(dim, reads.last_sid(connection))
    nothing = build((), dim, 0)
    try:
        base = saved or (_base(connection, dim) if segments > tuning.tail_limit else nothing)
        tail = empty_tail(dim)
        for sids, vectors in reads.batches(connection, base.upto, reads.last_sid(connection), dim):
            tail = tail.appended(sids, vectors)
    except DataLoss as damage:
        bare = View(nothing, empty_tail(dim), sequence, recordings, segments)
        return Recovered(bare, damage=damage)
    view = View(base, tail, sequence, recordings, segments)
    return Recovered(view, saved=base is saved or base is nothing)


def _base(connection: apsw.Connection, dim: int) -> Base:
    upto = reads.last_sid(connection)
    return build(reads.batches(connection, 0, upto, dim), dim, upto)
