"""The metadata of a base in memory: what a filter allows, without a question to the tables.

Metadata of a segment never changes, because a replaced recording gets new segments. That makes
it as immutable as the vectors, and a filter becomes a few passes over small integers.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from embedsvc.filters import And, Equals, Exists, Filter, In, Not, Or, Range, kind
from embedsvc.index.changes import Keys
from embedsvc.index.where import KINDS
from embedsvc.types import MetadataValue

Mask = NDArray[np.bool_]
Codes = NDArray[np.unsignedinteger[Any]]

BYTES_PER_SEGMENT = 64
"""What all columns together may hold: a thirtieth of a vector of 1,024 dimensions."""

MAX_TEXTS = 65_536
"""Different texts in one column. A field with more is a name or a note: a condition on it leaves
few recordings, which SQL finds quickly, while every text would be held in memory."""

LOOKED_UP = 8
"""Runs of codes from which on one look-up for each segment beats one comparison for each run."""

Run = tuple[int, int]
"""Codes from the first up to, not with, the second."""


@dataclass(frozen=True)
class Column:
    """One field: `codes` (N,), 0 where it is missing, else 1 + the place among the values.

    Values are in order: first booleans, then numbers, then texts. `values` has those of each
    kind, and the code of the first.
    """

    codes: Codes
    values: Mapping[str, tuple[int, Sequence[Any]]]

    def mask(self, condition: Equals | In | Range | Exists) -> Mask:
        """Where the field meets `condition`."""
        match condition:
            case Exists():
                present: Mask = self.codes != 0
                return present
            case Equals(value=value):
                return self.within([self.equal(value)])
            case In(values=values):
                return self.within([self.equal(value) for value in values])
            case Range():
                return self.within([self.between(condition)])

    def within(self, runs: Sequence[Run]) -> Mask:
        """Where the code lies in one of the runs."""
        runs = [run for run in runs if run[0] < run[1]]
        if len(runs) > LOOKED_UP:
            wanted = np.zeros(1 + sum(len(values) for _, values in self.values.values()), bool)
            for first, last in runs:
                wanted[first:last] = True
            looked_up: Mask = wanted[self.codes]
            return looked_up
        mask: Mask = np.zeros(len(self.codes), bool)
        whole = self.codes.dtype.type
        for first, last in runs:
            # Unsigned numbers wrap: what lies before the run becomes larger than any width.
            mask |= (self.codes - whole(first)) < whole(last - first)
        return mask

    def equal(self, value: MetadataValue) -> Run:
        """Codes of what equals the value: one or none."""
        first, values = self._of_kind(value)
        if value != value:  # noqa: PLR0124  # not a number equals nothing
            return 0, 0
        return first + _left(values, value), first + _right(values, value)

    def between(self, bounds: Range) -> Run:
        """Codes of what lies within all bounds that are set."""
        low, high = 1, 1 + sum(len(values) for _, values in self.values.values())
        for sign, limit in bounds.bounds():
            first, values = self._of_kind(limit)
            left, right = {
                ">": (_right(values, limit), len(values)),
                ">=": (_left(values, limit), len(values)),
                "<": (0, _left(values, limit)),
                "<=": (0, _right(values, limit)),
            }[sign]
            if isinstance(limit, float) and math.isnan(limit):
                return 0, 0
            low, high = max(low, first + left), min(high, first + right)
        return low, max(low, high)

    def _of_kind(self, value: MetadataValue) -> tuple[int, Sequence[Any]]:
        return self.values.get(kind(value), (1, ()))


@dataclass(frozen=True)
class Columns:
    """The fields of a base of `count` segments; those in `left_out` are only in the tables."""

    count: int
    columns: Mapping[str, Column] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    @property
    def nbytes(self) -> int:
        """Memory of the codes."""
        return sum(column.codes.nbytes for column in self.columns.values())

    def mask(self, condition: Filter) -> Mask | None:
        """Which segments (N,) meet `condition`; None when it asks for a field that is left out."""
        if any(name in self.left_out for name in fields_of(condition)):
            return None
        return self._mask(condition)

    def _mask(self, condition: Filter) -> Mask:
        match condition:
            case And(clauses):
                return self._joined(np.logical_and, clauses, start=True)
            case Or(clauses):
                return self._joined(np.logical_or, clauses, start=False)
            case Not(clause):
                return ~self._mask(clause)
            case _:
                column = self.columns.get(condition.field)
                return np.zeros(self.count, bool) if column is None else column.mask(condition)

    def _joined(self, join: np.ufunc, clauses: Sequence[Filter], *, start: bool) -> Mask:
        mask = np.full(self.count, start)
        for clause in clauses:
            join(mask, self._mask(clause), out=mask)
        return mask


def fields_of(condition: Filter) -> Iterator[str]:
    """The fields that a filter asks for."""
    match condition:
        case And(clauses) | Or(clauses):
            for clause in clauses:
                yield from fields_of(clause)
        case Not(clause):
            yield from fields_of(clause)
        case _:
            yield condition.field


def read(connection: apsw.Connection, sids: Keys) -> Columns:
    """Columns for the segments `sids` (N,), which ascend; those that are gone have no fields."""
    rids, places = _recordings(connection, sids)
    columns: dict[str, Column] = {}
    left_out = set()
    room = BYTES_PER_SEGMENT * len(sids)
    for name, labels in sorted(_labels(connection, rids).items()):
        column = None if labels.too_many else labels.column(rids, places)
        if column is None or column.codes.nbytes > room:
            left_out.add(name)
            continue
        room -= column.codes.nbytes
        columns[name] = column
    return Columns(len(sids), columns, frozenset(left_out))


def _recordings(connection: apsw.Connection, sids: Keys) -> tuple[Keys, Keys]:
    """Recordings of the segments, ascending, and for each segment the place of its own or -1."""
    if not len(sids):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = connection.execute(
        "SELECT sid, rid FROM segment WHERE sid BETWEEN ? AND ? ORDER BY sid",
        (int(sids[0]), int(sids[-1])),
    )
    pairs = np.array(list(found), np.int64).reshape(-1, 2)
    rids = np.unique(pairs[:, 1])
    places = np.full(len(sids), -1, np.int64)
    at = np.searchsorted(sids, pairs[:, 0])
    ours = sids[at] == pairs[:, 0]
    places[at[ours]] = np.searchsorted(rids, pairs[ours, 1])
    return rids, places


class _Labels:
    """The labels of one field, in the order they are met: who has them, and which value."""

    def __init__(self) -> None:
        self.too_many = False
        self._owners, self._numbers = array("q"), array("q")
        self._known: tuple[dict[Any, int], ...] = tuple({} for _ in KINDS)
        self._count = 0

    def add(self, rid: int, number: int, value: Any) -> None:
        """One more; a field of too many texts only notes that."""
        known = self._known[number]
        if value not in known:
            if number == KINDS["text"] and len(known) == MAX_TEXTS:
                self.too_many = True
                return
            known[value] = self._count
            self._count += 1
        self._owners.append(rid)
        self._numbers.append(known[value])

    def column(self, rids: Keys, places: Keys) -> Column:
        """With the values in order, for segments of the recordings at `places` of `rids`."""
        ordered = [sorted(known) for known in self._known]
        met = [known[value] for known, values in zip(self._known, ordered, strict=True)
               for value in values]  # fmt: skip
        code_of: Codes = np.zeros(self._count, np.min_scalar_type(self._count))
        code_of[met] = np.arange(1, self._count + 1)
        codes: Codes = np.zeros(len(rids) + 1, code_of.dtype)  # the last is for what is gone
        codes[np.searchsorted(rids, self._owners)] = code_of[np.asarray(self._numbers)]
        numbered: dict[str, tuple[int, Sequence[Any]]] = {}
        first = 1
        for name, values in zip(KINDS, ordered, strict=True):
            numbered[name] = first, _compact(values)
            first += len(values)
        return Column(codes[places], numbered)


def _labels(connection: apsw.Connection, rids: Keys) -> dict[str, _Labels]:
    """The labels of the recordings `rids`, which ascend, by field."""
    found: dict[str, _Labels] = {}
    if not len(rids):
        return found
    wanted = set(rids.tolist()) if len(rids) <= int(rids[-1] - rids[0]) else None
    for rid, name, number, value in connection.execute(
        "SELECT rid, key, kind, value FROM label WHERE rid BETWEEN ? AND ?",
        (int(rids[0]), int(rids[-1])),
    ):
        if wanted is None or rid in wanted:
            found.setdefault(name, _Labels()).add(rid, number, value)
    return found


def _compact(values: list[Any]) -> Sequence[Any]:
    """The same values in less memory, if they are all whole numbers, or all fractions."""
    for sort in (int, float):
        if values and all(type(value) is sort for value in values):
            return np.array(values, sort)  # type: ignore[return-value]  # as good as a sequence
    return values


def _left(values: Sequence[Any], value: MetadataValue) -> int:
    return bisect_left(values, value, key=_plain)


def _right(values: Sequence[Any], value: MetadataValue) -> int:
    return bisect_right(values, value, key=_plain)


def _plain(value: Any) -> Any:
    # Python compares an integer with a float exactly, numpy after rounding the integer.
    return value.item() if isinstance(value, np.generic) else value
