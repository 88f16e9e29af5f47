"""Filters as people write them: `language = "pol" and not (exists(year) or year > 3)`."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedsvc.errors import InvalidArgument
from embedsvc.filters.tree import (
    MAX_DEPTH,
    And,
    Equals,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    check,
)
from embedsvc.types import MetadataValue

MAX_DIGITS = 40
"""Characters of one number; Python refuses to read integers of thousands."""

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
        self._at = 0
        self._depth = 0

    def whole(self) -> Filter:
        condition = self._any()
        if self._at < len(self._tokens):
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
            return self._existence()
        field = self._field()
        if self._take_word("in"):
            return In(field, self._values())
        return self._comparison(field)

    def _existence(self) -> Filter:
        enclosed = self._take_sign("(")
        field = self._field()
        if enclosed:
            self._expect(")")
        return Exists(field)

    def _comparison(self, field: str) -> Filter:
        if self._take_sign("="):
            return Equals(field, self._value())
        if self._take_sign("!="):
            return Not(Equals(field, self._value()))
        for sign, name in ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt")):
            if self._take_sign(sign):
                bound = self._value()
                if isinstance(bound, bool):
                    self._at -= 1
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
        self._at -= 1
        wanted = "a quoted text, a number, true or false"
        raise self._wrong("a shorter number" if sort == "number" else wanted)

    def _field(self) -> str:
        sort, text = self._next("a field name")
        if sort == "word" and text.lower() not in _KEYWORDS:
            return text
        self._at -= 1
        raise self._wrong("a field name")

    def _next(self, wanted: str) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise self._wrong(wanted)
        self._at += 1
        token = self._tokens[self._at - 1]
        return token.sort, token.text

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take_sign(self, sign: str) -> bool:
        return self._take("sign", sign)

    def _take(self, sort: str, text: str) -> bool:
        if self._at == len(self._tokens):
            return False
        token = self._tokens[self._at]
        found = token.sort == sort and token.text.lower() == text
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise self._wrong(f"`{sign}`")

    def _wrong(self, wanted: str) -> InvalidArgument:
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            found, place = f"`{token.text}`", token.place
        else:
            found, place = "the end", len(self._text.rstrip())
        return _misread(f"`filter` must have {wanted} where it has {found}", self._text, place)


@dataclass(frozen=True)
class _Token:
    sort: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    end = len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place, end)
        if not found or found.lastgroup is None:
            rest = text[place:end].lstrip()
            place = end - len(rest)
            raise _misread(f"`filter` must not have `{rest[:20]}` there", text, place)
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        place = found.end()


def _misread(fault: str, text: str, place: int) -> InvalidArgument:
    """The error for a text that cannot be read on from `place`, which counts from 0."""
    return InvalidArgument(
        f"{fault}, at character {place + 1}: {text}", field="filter", position=place + 1
    )


def written(condition: Filter) -> str:
    """The text that `parse` reads as a filter of this meaning.

    Raises InvalidArgument for what has no text: a field name that is no word, a number that is
    not finite, and lists and bounds that are empty.

    >>> written(And((Equals("language", "pol"), Not(Or((Exists("year"), Range("year", gt=3)))))))
    'language = "pol" and not (exists(year) or year > 3)'
    """
    return _written(check(condition), inner=False)


def _written(condition: Filter, *, inner: bool) -> str:  # noqa: PLR0911  # one for each kind
    match condition:
        case And(clauses):
            return _joined(" and ", clauses, inner=inner)
        case Or(clauses):
            return _joined(" or ", clauses, inner=inner)
        case Not(clause):
            return f"not {_written(clause, inner=True)}"
        case Exists(field):
            return f"exists({_name(field)})"
        case Equals(field, value):
            return f"{_name(field)} = {_literal(value)}"
        case In(field, values):
            if not values:
                raise _unwritable("an empty list")
            return f"{_name(field)} in ({', '.join(map(_literal, values))})"
        case Range(field=field):
            limits = [_limit(field, sign, limit) for sign, limit in condition.bounds()]
            text = " and ".join(limits) or f"exists({_name(field)})"
            return f"({text})" if inner and len(limits) > 1 else text


def _joined(word: str, clauses: Sequence[Filter], *, inner: bool) -> str:
    if not clauses:
        raise _unwritable("an empty `and` or `or`")
    if len(clauses) == 1:
        return _written(clauses[0], inner=inner)
    text = word.join(_written(clause, inner=True) for clause in clauses)
    return f"({text})" if inner else text


def _limit(field: str, sign: str, limit: MetadataValue) -> str:
    if isinstance(limit, bool):
        raise _unwritable(f"the comparison of {field!r} with {limit}")
    return f"{_name(field)} {sign} {_literal(limit)}"


def _name(field: str) -> str:
    found = _TOKEN.fullmatch(field)
    if not found or found.lastgroup != "word" or field.lower() in _KEYWORDS:
        raise _unwritable(f"the field {field!r}")
    return field


def _literal(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    text = repr(value)
    if not math.isfinite(value) or len(text) > MAX_DIGITS:
        raise _unwritable(f"the number {text[:MAX_DIGITS]}")
    return text


def _unwritable(what: str) -> InvalidArgument:
    return InvalidArgument(f"`filter` must have a text form, but {what} has none", field="filter")
