"""Texts beside the vectors: lines with the times of their units, words to look up, phones to align.

A collection that keeps them has a recipe. A line is a row of `line`; the words of its text are in
`words`, an FTS5 index over terms that are folded and parted before they come here, so that
nothing depends on a tokenizer; its phones are in `phones`, as numbers of `phone`.
"""

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import DataLoss
from embedsvc.filters import Filter
from embedsvc.index.where import where
from embedsvc.texts.matching import Numbers
from embedsvc.texts.terms import Phrase, terms_of
from embedsvc.types import HeadKind, Line, Span, TextHead, Texts, TextUnit

_RECIPE = "texts"

UNIT = np.dtype(
    [("start", "<i8"), ("length", "<u4"), ("first", "<u4"), ("last", "<u4"), ("confidence", "<f2")]
)
"""A unit: samples, where its text stands in that of the line, and how sure it is."""


@dataclass(frozen=True)
class Packed:
    """A line as the tables hold it; `phones` are None in a line of words."""

    head: str
    kind: HeadKind
    text: str
    units: bytes
    phones: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Owned:
    """A line of the recording with key `rid`."""

    lid: int
    rid: int


@dataclass(frozen=True)
class Worded(Owned):
    """A line with some of the words that are looked for, by BM25; higher is better."""

    score: float


@dataclass(frozen=True)
class Phoned(Owned):
    """A line of phones, as numbers of symbols."""

    numbers: Numbers


def keep_recipe(connection: apsw.Connection, texts: Texts) -> None:
    """Say which texts this collection keeps; once, before there are any."""
    heads = [[head.name, head.kind] for head in texts.heads]
    connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (_RECIPE, json.dumps(heads)))


def recipe(connection: apsw.Connection) -> Texts | None:
    """Which texts this collection keeps; None when it keeps none."""
    found: Any = connection.execute("SELECT value FROM meta WHERE key = ?", (_RECIPE,)).get
    if found is None:
        return None
    return Texts(tuple(TextHead(name, HeadKind(kind)) for name, kind in json.loads(found)))


def packed(line: Line) -> Packed:
    """A line that was checked, before any lock is taken."""
    rows = np.zeros(len(line.units), UNIT)
    at = 0
    for place, unit in enumerate(line.units):
        first = line.text.index(unit.text, at)
        at = first + len(unit.text)
        rows[place] = (unit.span.start, len(unit.span), first, at, unit.confidence)
    phones = tuple(unit.text for unit in line.units) if line.kind is HeadKind.PHONES else None
    return Packed(line.head, line.kind, line.text, rows.tobytes(), phones)


def store(connection: apsw.Connection, rid: int, lines: Sequence[Packed]) -> None:
    """Keep the lines of a new recording, within the transaction of its rows."""
    for line in lines:
        terms = "" if line.phones is not None else " ".join(terms_of(line.text))
        connection.execute(
            "INSERT INTO line (rid, head, kind, text, terms, units, crc) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (rid, line.head, line.kind, line.text, terms, line.units, _crc(line.text, line.units)),
        )
        lid = connection.last_insert_rowid()
        if terms:
            connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (lid, terms))
        if line.phones is not None:
            data = _numbered(connection, line.phones).tobytes()
            connection.execute(
                "INSERT INTO phones (lid, rid, data, crc) VALUES (?, ?, ?, ?)",
                (lid, rid, data, zlib.crc32(data, lid & 0xFFFF_FFFF)),
            )


def remove(connection: apsw.Connection, rids: str) -> None:
    """Take out the lines of recordings, listed in JSON."""
    listed = "rid IN (SELECT value FROM json_each(?))"
    for sql in (
        f"INSERT INTO words (words, rowid, terms) SELECT 'delete', lid, terms FROM line WHERE {listed} AND terms <> ''",  # noqa: E501, S608  # a constant
        f"DELETE FROM phones WHERE {listed}",  # noqa: S608  # a constant
        f"DELETE FROM line WHERE {listed}",  # noqa: S608  # a constant
    ):
        connection.execute(sql, (rids,))


def of(connection: apsw.Connection, rid: int) -> list[Line]:
    """The lines of a recording in their order; raises DataLoss for a damaged one."""
    rows = connection.execute("SELECT lid FROM line WHERE rid = ? ORDER BY lid", (rid,))
    return [line(connection, row[0]).line for row in list(rows)]


@dataclass(frozen=True)
class Read:
    """A line, and where in its text each unit stands."""

    line: Line
    places: tuple[tuple[int, int], ...]

    def text(self, start: int, end: int) -> str:
        """What the units from `start` up to `end` say."""
        return self.line.text[self.places[start][0] : self.places[end - 1][1]]


def line(connection: apsw.Connection, lid: int) -> Read:
    """A line by its key; raises DataLoss when it is damaged."""
    ((rid, head, kind, text, units, crc),) = connection.execute(
        "SELECT rid, head, kind, text, units, crc FROM line WHERE lid = ?", (lid,)
    )
    if _crc(text, units) != crc:
        raise _damage(connection, rid)
    rows = np.frombuffer(units, UNIT)
    made = [
        TextUnit(text[first:last], Span(start, start + length), confidence)
        for start, length, first, last, confidence in rows.tolist()
    ]
    places = tuple(zip(rows["first"].tolist(), rows["last"].tolist(), strict=True))
    return Read(Line(text, tuple(made), head, HeadKind(kind)), places)


def has_words(connection: apsw.Connection) -> bool:
    """Whether there are words to look up."""
    return connection.execute("SELECT 1 FROM words_docsize LIMIT 1").get is not None


def with_words(
    connection: apsw.Connection,
    phrases: Sequence[Phrase],
    condition: Filter | None,
    most: int,
    *,
    group: bool,
) -> list[Worded]:
    """Lines with some of the phrases, the best first; with `group`, the best of each recording."""
    part = where(condition)
    rows = connection.execute(
        "SELECT l.lid, l.rid, -bm25(words) FROM words JOIN line l ON l.lid = words.rowid "  # noqa: S608  # values are bound
        f"JOIN recording r ON r.rid = l.rid WHERE words MATCH ? AND ({part.sql}) "
        "ORDER BY bm25(words), l.lid",
        (" OR ".join(map(_question, phrases)), *part.values),
    )
    found: list[Worded] = []
    known: set[int] = set()
    for lid, rid, score in rows:
        if len(found) == most:
            break
        if not (group and rid in known):
            found.append(Worded(lid, rid, score))
            known.add(rid)
    return found


def with_phones(connection: apsw.Connection, condition: Filter | None) -> list[Phoned]:
    """All lines of phones of the recordings that meet `condition`; raises DataLoss."""
    part = where(condition)
    allowed = f"WHERE p.rid IN (SELECT r.rid FROM recording r WHERE {part.sql}) "  # noqa: S608  # values are bound
    rows = connection.execute(
        f"SELECT p.lid, p.rid, p.data, p.crc FROM phones p {allowed if condition else ''}"  # noqa: S608  # values are bound
        "ORDER BY p.lid",
        part.values if condition else (),
    )
    found = []
    for lid, rid, data, crc in rows:
        if zlib.crc32(data, lid & 0xFFFF_FFFF) != crc:
            raise _damage(connection, rid)
        found.append(Phoned(lid, rid, np.frombuffer(data, "<u2")))
    return found


def symbols(connection: apsw.Connection) -> list[str]:
    """The phones of all lines, in the order of their numbers."""
    return [row[0] for row in connection.execute("SELECT symbol FROM phone ORDER BY number")]


def owners(connection: apsw.Connection, rids: Iterable[int]) -> Mapping[int, tuple[str, Any]]:
    """Ids and metadata of recordings by key."""
    rows = connection.execute(
        "SELECT rid, id, metadata FROM recording WHERE rid IN (SELECT value FROM json_each(?))",
        (json.dumps(list(rids)),),
    )
    return {rid: (name, json.loads(metadata)) for rid, name, metadata in rows}


def mean_confidence(units: Sequence[TextUnit]) -> float:
    """Of some units; NaN when one has none."""
    return math.fsum(unit.confidence for unit in units) / len(units) if units else math.nan


def _question(phrase: Phrase) -> str:
    """A phrase in the language of FTS5.

    Terms are letters, digits and marks alone; they are quoted since OR and NEAR are letters too.
    """
    quoted = " ".join(phrase.terms).replace('"', '""')
    return f'"{quoted}"{" *" if phrase.prefix else ""}'


def _numbered(connection: apsw.Connection, phones: Sequence[str]) -> NDArray[np.uint16]:
    """Numbers of phones; new ones get the next."""
    known = {
        symbol: number for number, symbol in connection.execute("SELECT number, symbol FROM phone")
    }
    for phone in phones:
        if phone not in known:
            known[phone] = len(known)
            connection.execute(
                "INSERT INTO phone (number, symbol) VALUES (?, ?)", (known[phone], phone)
            )
    return np.array([known[phone] for phone in phones], "<u2")


def _crc(text: str, units: bytes) -> int:
    return zlib.crc32(units, zlib.crc32(text.encode()))


def _damage(connection: apsw.Connection, rid: int) -> DataLoss:
    name = connection.execute("SELECT id FROM recording WHERE rid = ?", (rid,)).get
    return DataLoss(
        f"`collection` must be whole, but texts of {name!r} fail their checksum: delete this "
        "recording or store it again, or restore a backup",
        damaged_recordings=1,
    )
