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
    known = [row[0] for row in connection.execute("SELECT DISTINCT key FROM label")]
    columns: dict[str, Column] = {}
    left_out = set()
    room = BYTES_PER_SEGMENT * len(sids)
    for name in sorted(known):
        column = _column(connection, name, rids, places)
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


def _column(connection: apsw.Connection, name: str, rids: Keys, places: Keys) -> Column | None:
    """The column of a field; None for one of too many texts."""
    values: list[list[Any]] = [[] for _ in KINDS]
    owners, numbers = array("q"), array("q")
    code = 0
    last: tuple[Any, Any] = (None, None)
    for number, value, rid in connection.execute(
        "SELECT kind, value, rid FROM label WHERE key = ? ORDER BY kind, value", (name,)
    ):
        if last != (number, value):
            code += 1
            last = (number, value)
            values[number].append(value)
        owners.append(rid)
        numbers.append(code)
    if len(values[KINDS["text"]]) > MAX_TEXTS:
        return None
    codes = np.zeros(len(rids) + 1, np.min_scalar_type(code))  # the last is for what is gone
    at = np.searchsorted(rids, owners)
    ours = rids[np.minimum(at, len(rids) - 1)] == owners if len(rids) else np.zeros(len(at), bool)
    codes[at[ours]] = np.asarray(numbers)[ours]
    return Column(codes[places], _numbered(values))


def _numbered(values: list[list[Any]]) -> dict[str, tuple[int, Sequence[Any]]]:
    numbered: dict[str, tuple[int, Sequence[Any]]] = {}
    first = 1
    for name, number in KINDS.items():
        numbered[name] = first, _compact(values[number])
        first += len(values[number])
    return numbered


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
