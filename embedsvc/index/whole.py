"""All vectors of one space of a collection at once, and what they are of."""

from dataclasses import dataclass

import apsw
import numpy as np

from embedsvc.filters import Filter
from embedsvc.index import reads
from embedsvc.index.changes import Keys
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Halves
from embedsvc.index.recovery import Rows
from embedsvc.transforms import Transform


@dataclass(frozen=True)
class Whole:
    """Segments `sids` (N,), ascending, of the recordings `rids` (N,), with `vectors` (N, d)."""

    sids: Keys
    rids: Keys
    vectors: Halves

    def __len__(self) -> int:
        return len(self.sids)

    def without(self, sids: Keys) -> "Whole":
        """The segments that are not among `sids`."""
        kept = ~np.isin(self.sids, sids)
        return Whole(self.sids[kept], self.rids[kept], self.vectors[kept])


def read(
    connection: apsw.Connection, part: Part, transform: Transform | None, condition: Filter | None
) -> Whole:
    """Every live segment that meets `condition`, through `transform`; raises DataLoss."""
    rows = Rows(connection, part, transform)
    allowed = None if condition is None else reads.allowed(connection, condition)
    sids, vectors = [np.zeros(0, np.int64)], [np.zeros((0, rows.gives), np.float16)]
    for batch, moved in rows.batches(0, reads.last_sid(connection)):
        kept = slice(None) if allowed is None else np.isin(batch, allowed)
        sids.append(batch[kept])
        vectors.append(moved[kept])
    joined = np.concatenate(sids)
    return Whole(joined, _owners(connection, joined), np.concatenate(vectors))


def _owners(connection: apsw.Connection, sids: Keys) -> Keys:
    """The recordings of segments that are there."""
    pairs = connection.execute("SELECT sid, rid FROM segment ORDER BY sid")
    known = np.fromiter((pair for row in pairs for pair in row), np.int64).reshape(-1, 2)
    owners: Keys = known[np.searchsorted(known[:, 0], sids), 1]
    return owners
