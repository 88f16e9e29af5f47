"""What a filter allows of a view: a bit for each segment of the base, and places in the tail."""

from dataclasses import dataclass

import apsw
import numpy as np

from embedsvc.filters import Filter
from embedsvc.index import reads
from embedsvc.index.changes import Keys
from embedsvc.index.columns import Columns, Mask
from embedsvc.index.where import where


@dataclass(frozen=True)
class Allowed:
    """`base` (N,) says which segments of the base are allowed; `tail` has places, ascending.

    Segments that are gone may be among them.
    """

    base: Mask
    tail: Keys


@dataclass(frozen=True)
class Held:
    """The segments of a view, and the metadata of those of its base, if they are in memory."""

    base: Keys
    tail: Keys
    columns: Columns | None

    def allowed(self, connection: apsw.Connection, condition: Filter) -> Allowed:
        """Those that meet `condition`; raises InvalidArgument for one that is too large."""
        where(condition)
        mask = self.columns.mask(condition) if self.columns else None
        if mask is not None:
            upto = int(self.base[-1]) if len(self.base) else 0
            fresh = reads.allowed(connection, condition, upto) if len(self.tail) else self.tail
            return Allowed(mask, _positions(self.tail, fresh))
        found = reads.allowed(connection, condition)
        mask = np.zeros(len(self.base), bool)
        mask[_positions(self.base, found)] = True
        return Allowed(mask, _positions(self.tail, found))


def _positions(sids: Keys, allowed: Keys) -> Keys:
    """Where the `allowed` are among `sids`, for those that are; both ascend."""
    places = np.searchsorted(sids, allowed)
    inside = places < len(sids)
    places, allowed = places[inside], allowed[inside]
    found: Keys = places[sids[places] == allowed]
    return found
