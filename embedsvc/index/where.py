"""Conditions on metadata as SQL over the labels; `filters.matches` is what they mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from embedsvc.errors import InvalidArgument
from embedsvc.filters import (
    And,
    Equals,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    check,
    kind,
)
from embedsvc.types import MetadataValue

MAX_VALUES = 10_000
"""Values and names in one filter; SQLite binds up to 32,766."""

KINDS = {"bool": 0, "number": 1, "text": 2}
"""How the label table spells the kind of a value."""

INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Where:
    """A condition on a recording `r`, and the values it binds."""

    sql: str
    values: tuple[MetadataValue, ...] = ()


LISTED = "r.rid IN (SELECT rid FROM label WHERE key = ? AND ({}))"
EACH = "EXISTS (SELECT 1 FROM label WHERE rid = r.rid AND key = ? AND ({}))"
"""Two ways to ask for the label of a recording; never NULL, so NOT is safe."""

ALWAYS = Where("1")
NEVER = Where("0")


def where(condition: Filter | None, *, few: bool = False) -> Where:
    """Compile a filter; None is met by every recording.

    `few` is for a question that looks at few recordings anyway: each is checked by itself,
    instead of listing all that have a label first.

    Raises InvalidArgument for a filter too large, or with text that is not Unicode.
    """
    if condition is None:
        return ALWAYS
    compiled = _compile(check(condition), EACH if few else LISTED)
    if len(compiled.values) > MAX_VALUES:
        raise InvalidArgument(
            f"`filter` must have at most {MAX_VALUES} values, but has {len(compiled.values)}",
            field="filter",
        )
    if any(isinstance(value, str) and not _is_unicode(value) for value in compiled.values):
        raise InvalidArgument(
            "`filter` must be Unicode text, but has half a surrogate pair", field="filter"
        )
    return compiled


def _compile(condition: Filter, form: str) -> Where:  # noqa: PLR0911  # one for each kind
    match condition:
        case And(clauses):
            return _join(" AND ", clauses, ALWAYS, form)
        case Or(clauses):
            return _join(" OR ", clauses, NEVER, form)
        case Not(clause):
            inner = _compile(clause, form)
            return Where(f"NOT ({inner.sql})", inner.values)
        case Exists(field):
            return _labeled(field, ALWAYS, form)
        case Equals(field, value):
            return _labeled(field, _one_of((value,)), form)
        case In(field, values):
            return _labeled(field, _one_of(values), form)
        case Range(field=field):
            return _labeled(field, _between(condition), form)


def _join(operator: str, clauses: Sequence[Filter], empty: Where, form: str) -> Where:
    if not clauses:
        return empty
    parts = [_compile(clause, form) for clause in clauses]
    sql = operator.join(f"({part.sql})" for part in parts)
    return Where(sql, tuple(value for part in parts for value in part.values))


def _labeled(field: str, on_value: Where, form: str) -> Where:
    """The recordings whose label `field` meets a condition."""
    return Where(form.format(on_value.sql), (field, *on_value.values))


def _one_of(values: Sequence[MetadataValue]) -> Where:
    clauses = []
    bound: list[MetadataValue] = []
    for name, code in KINDS.items():
        alike = [_storable(value) for value in values if kind(value) == name]
        found = [value for value in alike if value is not None]
        if found:
            clauses.append(f"kind = {code} AND value IN ({', '.join('?' * len(found))})")
            bound += found
    return Where(" OR ".join(clauses), tuple(bound)) if clauses else NEVER


def _between(bounds: Range) -> Where:
    clauses = []
    bound: list[MetadataValue] = []
    for sign, limit in bounds.bounds():
        nearest_sign, nearest = _nearest(sign, limit)
        clauses.append(f"kind = {KINDS[kind(limit)]} AND value {nearest_sign} ?")
        bound.append(nearest)
    return Where(" AND ".join(clauses), tuple(bound)) if clauses else ALWAYS


def _storable(value: MetadataValue) -> MetadataValue | None:
    """The value as SQLite can hold it, or None when no stored value equals it."""
    if not isinstance(value, int) or value in INT64:
        return value
    nearest = _as_float(value)
    return nearest if nearest == value else None


def _nearest(sign: str, limit: str | float) -> tuple[str, str | float]:
    """The same bound for values SQLite can hold.

    Beyond 64 bits only floats are stored. When the float nearest to the limit is not equal to
    it, no stored value lies between the two, so that only the side it is on matters.
    """
    if not isinstance(limit, int) or limit in INT64:
        return sign, limit
    nearest = _as_float(limit)
    if nearest == limit:
        return sign, nearest
    if nearest > limit:
        return (">=" if sign[0] == ">" else "<"), nearest
    return (">" if sign[0] == ">" else "<="), nearest


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
