"""Codes of frames beside the vectors: kept in chunks, read back by place.

A collection that keeps them has a recipe, which this room stores and does not read. Codes are
never in memory but while somebody reads them.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import apsw
import numpy as np

from embedsvc.errors import DataLoss
from embedsvc.filters import Filter
from embedsvc.index.where import where
from embedsvc.types import Codes, Hit, Metadata

CHUNK = 1_024
"""Codes in one row: 82 seconds at 12.5 a second, 64 KB at 64 dimensions."""

_RECIPE = "codes"
_PLACE = struct.Struct("<qq")


@dataclass(frozen=True)
class Coded:
    """A run of codes (N, d) of the recording with key `rid`, from its code `first` on."""

    rid: int
    first: int
    codes: Codes


@dataclass(frozen=True)
class Owner:
    """Whose codes they are; `length` is in samples."""

    id: str
    metadata: Metadata
    length: int


@dataclass(frozen=True)
class Reach:
    """How spans of samples become runs of codes: samples of one code, and codes at either end."""

    step: int
    margin: int


@dataclass(frozen=True)
class Candidates:
    """A search for the `k` nearest segments in a space, whose codes within `reach` are wanted."""

    k: int
    reach: Reach
    condition: Filter | None = None
    exclude_id: str | None = None
    space: str = ""


def keep_recipe(connection: apsw.Connection, recipe: bytes) -> None:
    """Say how the codes of this collection are made; once, before there are any."""
    connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (_RECIPE, recipe))


def recipe(connection: apsw.Connection) -> bytes | None:
    """How the codes of this collection are made; None when it keeps none."""
    found: Any = connection.execute("SELECT value FROM meta WHERE key = ?", (_RECIPE,)).get
    return found if isinstance(found, bytes) else None


def store(connection: apsw.Connection, rid: int, codes: Codes) -> None:
    """Keep the codes (N, d) of a new recording, within the transaction of its rows."""
    connection.executemany(
        "INSERT INTO code (rid, first, count, data, crc) VALUES (?, ?, ?, ?, ?)",
        [
            (rid, first, len(part), data, _checksum(rid, first, data))
            for first in range(0, len(codes), CHUNK)
            for part in (codes[first : first + CHUNK],)
            for data in (part.tobytes(),)
        ],
    )


def read(connection: apsw.Connection, rid: int, start: int, end: int) -> Codes | None:
    """The codes from `start` up to `end` of a recording, or as many as there are.

    None when it has none there; raises DataLoss for damaged ones.
    """
    rows = list(
        connection.execute(
            "SELECT first, count, data, crc FROM code "
            "WHERE rid = ? AND first < ? AND first + count > ? ORDER BY first",
            (rid, end, start),
        )
    )
    if not rows:
        return None
    parts = [_whole(connection, rid, *row) for row in rows]
    if any(this[0] + this[1] != then[0] for this, then in pairwise(rows)):
        raise _damage(connection, rid)
    offset = rows[0][0]
    return np.concatenate(parts)[max(0, start - offset) : end - offset]


def around(connection: apsw.Connection, hits: Sequence[Hit], reach: Reach) -> list[Coded]:
    """The codes of the stretches that `hits` and what is near them cover, no code twice.

    Hits of recordings without codes add nothing.
    """
    found = []
    spans = sorted((hit.id, hit.span.start, hit.span.end) for hit in hits)
    for name, group in groupby(spans, key=lambda each: each[0]):
        rid = connection.execute("SELECT rid FROM recording WHERE id = ?", (name,)).get
        places = [(start // reach.step, -(-end // reach.step)) for _, start, end in group]
        for start, end in _joined(places, reach.margin):
            codes = read(connection, rid, start, end)
            if codes is not None:
                found.append(Coded(rid, start, codes))
    return found


def owners(connection: apsw.Connection, rids: Iterable[int]) -> dict[int, Owner]:
    """Whose these keys are."""
    rows = connection.execute(
        "SELECT rid, id, metadata, length FROM recording "
        "WHERE rid IN (SELECT value FROM json_each(?))",
        (json.dumps(list(rids)),),
    )
    return {rid: Owner(name, json.loads(metadata), length) for rid, name, metadata, length in rows}


def each(
    connection: apsw.Connection, condition: Filter | None, exclude_id: str | None = None
) -> Iterator[Coded]:
    """Every chunk of the recordings that meet `condition`, in order of recordings and time."""
    part = where(condition)
    rows = connection.execute(
        f"SELECT r.rid FROM recording r WHERE ({part.sql}) AND r.id IS NOT ? ORDER BY r.rid",  # noqa: S608  # values are bound
        (*part.values, exclude_id),
    )
    for rid in [row[0] for row in rows]:
        expected = 0
        chunks = connection.execute(
            "SELECT first, count, data, crc FROM code WHERE rid = ? ORDER BY first", (rid,)
        )
        for chunk in chunks:
            if chunk[0] != expected:
                raise _damage(connection, rid)
            expected += chunk[1]
            yield Coded(rid, chunk[0], _whole(connection, rid, *chunk))


def _joined(places: Iterable[tuple[int, int]], margin: int) -> Iterator[tuple[int, int]]:
    """Runs widened by `margin`, those that touch as one; they come in order of their starts."""
    last: tuple[int, int] | None = None
    for start, end in places:
        wide = (max(0, start - margin), end + margin)
        if last is not None and wide[0] <= last[1]:
            last = (last[0], max(last[1], wide[1]))
            continue
        if last is not None:
            yield last
        last = wide
    if last is not None:
        yield last


def _checksum(rid: int, first: int, data: bytes) -> int:
    """CRC-32 of a chunk; seeded with its place, so that a swapped row shows too."""
    return zlib.crc32(data, zlib.crc32(_PLACE.pack(rid, first)))


def _whole(
    connection: apsw.Connection, rid: int, first: int, count: int, data: bytes, crc: int
) -> Codes:
    if _checksum(rid, first, data) != crc or count < 1 or len(data) % count:
        raise _damage(connection, rid)
    return np.frombuffer(data, np.int8).reshape(count, -1)


def _damage(connection: apsw.Connection, rid: int) -> DataLoss:
    name = connection.execute("SELECT id FROM recording WHERE rid = ?", (rid,)).get
    return DataLoss(
        f"`collection` must be whole, but codes of {name!r} fail their checksum: delete this "
        "recording or store it again, or restore a backup",
        damaged_recordings=1,
    )
