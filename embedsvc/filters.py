"""Conditions on metadata: their tree, their text form, and what they mean.

`matches` is the meaning; whatever else evaluates a filter must agree with it. A comparison
holds only within a kind: text with text, numbers with numbers, booleans with booleans.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from embedsvc.errors import InvalidArgument
from embedsvc.types import Metadata, MetadataValue

MAX_NODES = 256
"""Conditions in one filter; enough for people, and a bound on what SQL must plan."""

MAX_DEPTH = 24
"""Nested parentheses in one filter."""

MAX_DIGITS = 40
"""Characters of one number; Python refuses to read integers of thousands."""


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


_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
        |(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
        |(?P<sign><=|>=|!=|=|<|>|\(|\)|,)
        |(?P<word>[^\W\d][\w.\-]*))""",
    re.VERBOSE,
)
_KEYWORDS = {"and", "or", "not", "in", "exists", "true", "false"}


def parse(text: str) -> Filter:
    """Read a filter as people write it.

    >>> parse('language = "pol" and not (exists(year) or speaker in ("a", "b"))')
    And(clauses=(Equals(field='language', value='pol'), Not(clause=Or(clauses=(\
Exists(field='year'), In(field='speaker', values=('a', 'b')))))))
    """
    return check(_Parser(text).whole())


class _Parser:
    """Recursive descent over the tokens; `or` binds least, then `and`, then `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._depth = 0

    def whole(self) -> Filter:
        condition = self._any()
        if self._tokens:
            raise self._wrong("the end")
        return condition

    def _any(self) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidArgument(
                f"`filter` must be nested at most {MAX_DEPTH} deep", field="filter"
            )
        clauses = [self._all()]
        while self._take_word("or"):
            clauses.append(self._all())
        self._depth -= 1
        return clauses[0] if len(clauses) == 1 else Or(tuple(clauses))

    def _all(self) -> Filter:
        clauses = [self._one()]
        while self._take_word("and"):
            clauses.append(self._one())
        return clauses[0] if len(clauses) == 1 else And(tuple(clauses))

    def _one(self) -> Filter:
        negations = 0
        while self._take_word("not"):
            negations += 1
        condition = self._condition()
        return Not(condition) if negations % 2 else condition

    def _condition(self) -> Filter:
        if self._take_sign("("):
            condition = self._any()
            self._expect(")")
            return condition
        if self._take_word("exists"):
            self._expect("(")
            field = self._field()
            self._expect(")")
            return Exists(field)
        field = self._field()
        if self._take_word("in"):
            return In(field, self._values())
        return self._comparison(field)

    def _comparison(self, field: str) -> Filter:
        if self._take_sign("="):
            return Equals(field, self._value())
        if self._take_sign("!="):
            return Not(Equals(field, self._value()))
        for sign, name in ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt")):
            if self._take_sign(sign):
                bound = self._value()
                if isinstance(bound, bool):
                    self._tokens.insert(0, ("word", str(bound).lower()))
                    raise self._wrong("a number or text after a comparison")
                return Range(field, **{name: bound})
        raise self._wrong("=, !=, <, <=, >, >= or in")

    def _values(self) -> tuple[MetadataValue, ...]:
        self._expect("(")
        values = [self._value()]
        while self._take_sign(","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> MetadataValue:
        sort, text = self._next("a value")
        if sort == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if sort == "number" and len(text) <= MAX_DIGITS:
            return float(text) if re.search(r"[.eE]", text) else int(text)
        if sort == "word" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        self._tokens.insert(0, (sort, text))
        wanted = "a quoted text, a number, true or false"
        raise self._wrong("a shorter number" if sort == "number" else wanted)

    def _field(self) -> str:
        sort, text = self._next("a field name")
        if sort == "word" and text.lower() not in _KEYWORDS:
            return text
        self._tokens.insert(0, (sort, text))
        raise self._wrong("a field name")

    def _next(self, wanted: str) -> tuple[str, str]:
        if not self._tokens:
            raise self._wrong(wanted)
        return self._tokens.pop(0)

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take_sign(self, sign: str) -> bool:
        return self._take("sign", sign)

    def _take(self, token: str, text: str) -> bool:
        if self._tokens and self._tokens[0][0] == token and self._tokens[0][1].lower() == text:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise self._wrong(f"`{sign}`")

    def _wrong(self, wanted: str) -> InvalidArgument:
        found = f"`{self._tokens[0][1]}`" if self._tokens else "the end"
        return InvalidArgument(
            f"`filter` must have {wanted} where it has {found}: {self._text}", field="filter"
        )


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found or found.lastgroup is None:
            raise InvalidArgument(
                f"`filter` must not have `{text[place:].strip()[:20]}` there: {text}",
                field="filter",
            )
        yield found.lastgroup, found[found.lastgroup]
        place = found.end()
