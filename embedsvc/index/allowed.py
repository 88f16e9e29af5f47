"""What a filter allows of a view: a bit for each segment of the base, and places in the tail."""

import threading
from dataclasses import dataclass

import apsw
import numpy as np

from embedsvc.filters import Filter
from embedsvc.index import reads
from embedsvc.index.changes import Keys
from embedsvc.index.columns import Columns, Mask, read
from embedsvc.index.where import where

PART = 512
"""Segments of a tail that get columns together; SQL takes some milliseconds for fewer."""


@dataclass(frozen=True)
class Allowed:
    """`base` (N,) says which segments of the base are allowed; `tail` has places, ascending.

    Segments that are gone may be among them.
    """

    base: Mask
    tail: Keys


class Growing:
    """Columns of a tail in parts, each made by the first filter that finds so much without any.

    Shared by the views of a tail: it only ever grows at its end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: tuple[tuple[int, Columns], ...] = ()

    def parts(self, connection: apsw.Connection, sids: Keys) -> list[tuple[int, Columns]]:
        """Where each part that lies within `sids` begins in them, and its columns."""
        with self._lock:
            covered = sum(columns.count for _, columns in self._parts)
            if len(sids) - covered >= PART:
                self._parts += ((covered, read(connection, sids[covered:])),)
        return [part for part in self._parts if part[0] + part[1].count <= len(sids)]


@dataclass(frozen=True)
class Held:
    """The segments of a view, and the metadata of those of its base, if they are in memory."""

    base: Keys
    tail: Keys
    columns: Columns | None
    tail_columns: Growing

    def allowed(self, connection: apsw.Connection, condition: Filter) -> Allowed:
        """Those that meet `condition`; raises InvalidArgument for one that is too large."""
        where(condition)
        mask = self.columns.mask(condition) if self.columns else None
        if mask is not None:
            return Allowed(mask, self._of_tail(connection, condition))
        found = reads.allowed(connection, condition)
        mask = np.zeros(len(self.base), bool)
        mask[_positions(self.base, found)] = True
        return Allowed(mask, _positions(self.tail, found))

    def _of_tail(self, connection: apsw.Connection, condition: Filter) -> Keys:
        found = [np.zeros(0, np.int64)]
        covered = 0
        for first, columns in self.tail_columns.parts(connection, self.tail):
            mask = columns.mask(condition)
            if mask is None:
                break
            found.append(first + np.flatnonzero(mask))
            covered = first + columns.count
        if covered < len(self.tail):
            behind = int(self.tail[covered - 1]) if covered else int(self.base[-1])
            rest = reads.allowed(connection, condition, behind)
            found.append(_positions(self.tail, rest))
        return np.concatenate(found)


def _positions(sids: Keys, allowed: Keys) -> Keys:
    """Where the `allowed` are among `sids`, for those that are; both ascend."""
    places = np.searchsorted(sids, allowed)
    inside = places < len(sids)
    places, allowed = places[inside], allowed[inside]
    found: Keys = places[sids[places] == allowed]
    return found
