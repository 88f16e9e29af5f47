"""Conditions on metadata: their tree, and what they mean.

`matches` is the meaning; whatever else evaluates a filter must agree with it. A comparison
holds only within a kind: text with text, numbers with numbers, booleans with booleans.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from embedsvc.errors import InvalidArgument
from embedsvc.types import Metadata, MetadataValue

MAX_NODES = 256
"""Conditions in one filter; enough for people, and a bound on what SQL must plan."""

MAX_DEPTH = 24
"""Nested parentheses in one filter."""


@dataclass(frozen=True)
class Equals:
    """The field has this value."""

    field: str
    value: MetadataValue


@dataclass(frozen=True)
class In:
    """The field has one of these values."""

    field: str
    values: tuple[MetadataValue, ...]


@dataclass(frozen=True)
class Range:
    """The field lies between these bounds; None is no bound."""

    field: str
    gt: str | float | None = None
    gte: str | float | None = None
    lt: str | float | None = None
    lte: str | float | None = None

    def bounds(self) -> Iterator[tuple[str, str | float]]:
        """Each bound that is set, as (operator, value)."""
        signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
        for item in fields(self)[1:]:
            bound = getattr(self, item.name)
            if bound is not None:
                yield signs[item.name], bound


@dataclass(frozen=True)
class Exists:
    """The field is there, with any value."""

    field: str


@dataclass(frozen=True)
class And:
    """All of these hold; true when empty."""

    clauses: tuple["Filter", ...]


@dataclass(frozen=True)
class Or:
    """One of these holds; false when empty."""

    clauses: tuple["Filter", ...]


@dataclass(frozen=True)
class Not:
    """This does not hold."""

    clause: "Filter"


Filter = Equals | In | Range | Exists | And | Or | Not


def kind(value: object) -> str:
    """Values of one kind are comparable: `bool`, `number` or `text`."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text"


def matches(condition: Filter, metadata: Metadata) -> bool:  # noqa: PLR0911  # one for each kind
    """Whether `metadata` meets `condition`."""
    match condition:
        case And(clauses):
            return all(matches(clause, metadata) for clause in clauses)
        case Or(clauses):
            return any(matches(clause, metadata) for clause in clauses)
        case Not(clause):
            return not matches(clause, metadata)
        case Exists(field):
            return field in metadata
        case Equals(field, value):
            return field in metadata and _same(metadata[field], value)
        case In(field, values):
            return field in metadata and any(_same(metadata[field], value) for value in values)
        case Range(field=field):
            return field in metadata and _within(metadata[field], condition)


def check(condition: Filter) -> Filter:
    """Return `condition` if it is of a size we evaluate, or say which limit it breaks."""
    count = sum(1 for _ in _walk(condition, 1))
    if count > MAX_NODES:
        raise InvalidArgument(
            f"`filter` must have at most {MAX_NODES} conditions, but has {count}", field="filter"
        )
    return condition


def _walk(condition: Filter, depth: int) -> Iterator[Filter]:
    if depth > MAX_DEPTH:
        raise _too_deep()
    yield condition
    match condition:
        case And(clauses) | Or(clauses):
            for clause in clauses:
                yield from _walk(clause, depth + 1)
        case Not(clause):
            yield from _walk(clause, depth + 1)
        case _:
            pass


def _too_deep() -> InvalidArgument:
    return InvalidArgument(
        f"`filter` must be nested at most {MAX_DEPTH} deep, but is deeper", field="filter"
    )


def _same(left: MetadataValue, right: MetadataValue) -> bool:
    return kind(left) == kind(right) and left == right


def _within(value: MetadataValue, bounds: Range) -> bool:
    return all(_holds(value, sign, bound) for sign, bound in bounds.bounds())


def _holds(value: MetadataValue, sign: str, bound: str | float) -> bool:
    if kind(value) != kind(bound):
        return False
    left, right = (str(value), str(bound)) if kind(value) == "text" else (value, bound)
    compared = {
        ">": left > right,  # type: ignore[operator]  # both of one kind
        ">=": left >= right,  # type: ignore[operator]
        "<": left < right,  # type: ignore[operator]
        "<=": left <= right,  # type: ignore[operator]
    }
    return compared[sign]
