"""Questions to the tables."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from embedsvc.errors import DataLoss
from embedsvc.filters import Filter
from embedsvc.index.changes import Keys, checksum
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Halves
from embedsvc.index.where import KINDS, where
from embedsvc.transforms import Sample
from embedsvc.types import Floats, Metadata, Span, StoredRecording

BATCH = 4_096
"""Vectors read at once when all are."""

NAMED = 10
"""Damaged recordings named in a message."""

_RECORDING = "r.rid, r.id, r.metadata, r.length, r.digest, r.created_at, r.sequence"


@dataclass(frozen=True)
class Match:
    """A live segment and the recording it is of."""

    rid: int
    id: str
    metadata: Metadata
    span: Span


def sequence(connection: apsw.Connection) -> int:
    """Number of the last committed write."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'sequence'").get)


def last_sid(connection: apsw.Connection) -> int:
    """The last segment ever stored, gone or not."""
    return int(
        connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segment'").get or 0
    )


def counts(connection: apsw.Connection) -> tuple[int, int]:
    """Recordings and segments."""
    sql = "SELECT (SELECT count(*) FROM recording), (SELECT count(*) FROM segment)"
    ((recordings, segments),) = _rows(connection, sql)
    return recordings, segments


def count(connection: apsw.Connection, condition: Filter | None) -> int:
    """Recordings that meet `condition`."""
    part = where(condition)
    sql = f"SELECT count(*) FROM recording r WHERE {part.sql}"  # noqa: S608  # values are bound
    return int(connection.execute(sql, part.values).get)


def rids(connection: apsw.Connection, condition: Filter) -> list[int]:
    """Keys of the recordings that meet `condition`."""
    part = where(condition)
    sql = f"SELECT r.rid FROM recording r WHERE {part.sql}"  # noqa: S608  # values are bound
    return [row[0] for row in connection.execute(sql, part.values)]


def rids_of(connection: apsw.Connection, ids: Sequence[str]) -> list[int]:
    """Keys of those of `ids` that are stored."""
    sql = "SELECT rid FROM recording WHERE id = ?"
    found = [connection.execute(sql, (name,)).get for name in dict.fromkeys(ids)]
    return [rid for rid in found if rid is not None]


def allowed(connection: apsw.Connection, condition: Filter, after: int = 0) -> Keys:
    """Segments after `after` of the recordings that meet `condition`, ascending."""
    part = where(condition, few=after > 0)
    join = "segment s CROSS JOIN recording r" if after else "recording r JOIN segment s"
    sql = f"SELECT s.sid FROM {join} ON s.rid = r.rid WHERE s.sid > ? AND ({part.sql})"  # noqa: S608  # values are bound
    rows = connection.execute(sql, (after, *part.values))
    return np.sort(np.fromiter((row[0] for row in rows), np.int64))


def matches(connection: apsw.Connection, sids: Sequence[int]) -> dict[int, Match]:
    """Those of `sids` that still exist."""
    rows = connection.execute(
        "SELECT s.sid, r.rid, r.id, r.metadata, s.start, s.stop FROM segment s "
        "JOIN recording r ON r.rid = s.rid WHERE s.sid IN (SELECT value FROM json_each(?))",
        (json.dumps(sids),),
    )
    return {
        sid: Match(rid, name, json.loads(metadata), Span(start, stop))
        for sid, rid, name, metadata, start, stop in rows
    }


def recording(connection: apsw.Connection, name: str) -> StoredRecording | None:
    """The recording of that id."""
    rows = _rows(connection, f"SELECT {_RECORDING} FROM recording r WHERE r.id = ?", (name,))  # noqa: S608  # constants
    found = list(_recordings(connection, rows))
    return found[0] if found else None


def digest(connection: apsw.Connection, name: str) -> str | None:
    """The digest stored with that id."""
    found = connection.execute("SELECT digest FROM recording WHERE id = ?", (name,)).get
    return None if found is None else str(found)


def page(
    connection: apsw.Connection, condition: Filter | None, after: int, limit: int
) -> tuple[list[StoredRecording], int | None]:
    """Up to `limit` recordings stored after key `after`, and the last key if there are more."""
    part = where(condition)
    sql = (
        f"SELECT {_RECORDING} FROM recording r WHERE r.rid > ? AND ({part.sql}) "  # noqa: S608  # values are bound
        "ORDER BY r.rid LIMIT ?"
    )
    rows = _rows(connection, sql, (after, *part.values, limit + 1))
    cursor = rows[limit - 1][0] if len(rows) > limit else None
    return list(_recordings(connection, rows[:limit])), cursor


def sample(connection: apsw.Connection, count: int, language: str, part: Part) -> Sample:
    """At most `count` of the segments, evenly spread; raises DataLoss for a damaged one.

    The vectors are those of one space.
    """
    total = int(connection.execute("SELECT count(*) FROM segment").get)
    step = max(1, -(-total // count))
    rows = _rows(
        connection,
        "SELECT s.sid, v.data, v.crc, r.id, l.value FROM "
        "(SELECT sid, rid, row_number() OVER (ORDER BY sid) AS place FROM segment) s "
        "JOIN recording r ON r.rid = s.rid LEFT JOIN vector v ON v.sid = s.sid "
        "LEFT JOIN label l ON l.rid = s.rid AND l.key = ? AND l.kind = ? "
        "WHERE s.place % ? = 0 ORDER BY s.sid",
        (language, KINDS["text"], step),
    )
    bad = [name for sid, data, crc, name, _ in rows if not _is_whole(sid, data, crc)]
    if bad:
        raise damage(list(dict.fromkeys(bad)))
    return Sample(
        part.of(_joined([row[1] for row in rows], part)).astype(np.float32),
        [row[4] or "" for row in rows],
        [row[3] for row in rows],
    )


def vectors_of(connection: apsw.Connection, name: str, part: Part) -> list[tuple[Span, Floats]]:
    """Spans and vectors of a recording in a space; raises DataLoss for a damaged one."""
    rows = _rows(
        connection,
        "SELECT s.sid, s.start, s.stop, v.data, v.crc FROM recording r "
        "JOIN segment s ON s.rid = r.rid LEFT JOIN vector v ON v.sid = s.sid "
        "WHERE r.id = ? ORDER BY s.sid",
        (name,),
    )
    if not all(_is_whole(sid, data, crc) for sid, _, _, data, crc in rows):
        raise damage([name])
    vectors = part.of(_joined([row[3] for row in rows], part)).astype(np.float32)
    spans = (Span(start, stop) for _, start, stop, _, _ in rows)
    return list(zip(spans, vectors, strict=True))


def batches(
    connection: apsw.Connection, after: int, upto: int, part: Part
) -> Iterator[tuple[Keys, Halves]]:
    """Live segments after `after` up to `upto` in a space, ascending, a batch at a time.

    Raises DataLoss naming every recording of theirs whose vectors fail their checksum.
    """
    while True:
        rows = _vectors(connection, after, upto)
        if not rows:
            return
        if not all(_is_whole(*row) and len(row[1]) == 2 * part.width for row in rows):
            raise damage(_damaged(connection, after, upto))
        sids = np.fromiter((row[0] for row in rows), np.int64)
        yield sids, part.of(_joined([row[1] for row in rows], part))
        after = rows[-1][0]


def _joined(blobs: Sequence[bytes], part: Part) -> Halves:
    """Stored rows (N, width) of their bytes."""
    return np.frombuffer(b"".join(blobs), "<f2").reshape(len(blobs), part.width)


def _rows(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    return list(connection.execute(sql, tuple(values)))


def damage(names: Sequence[str]) -> DataLoss:
    """The error for recordings whose vectors fail their checksum."""
    shown = ", ".join(repr(name) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return DataLoss(
        f"`collection` must be whole, but vectors of {shown}{more} fail their checksum: "
        "delete these recordings, or restore a backup",
        damaged_recordings=len(names),
    )


def _vectors(connection: apsw.Connection, after: int, upto: int) -> list[tuple[int, bytes, int]]:
    return _rows(
        connection,
        "SELECT s.sid, v.data, v.crc FROM segment s LEFT JOIN vector v ON v.sid = s.sid "
        "WHERE s.sid > ? AND s.sid <= ? ORDER BY s.sid LIMIT ?",
        (after, upto, BATCH),
    )


def _is_whole(sid: int, data: bytes | None, crc: int | None) -> bool:
    return data is not None and checksum(sid, data) == crc


def _damaged(connection: apsw.Connection, after: int, upto: int) -> list[str]:
    bad = []
    while rows := _vectors(connection, after, upto):
        bad += [row[0] for row in rows if not _is_whole(*row)]
        after = rows[-1][0]
    return list(dict.fromkeys(match.id for match in matches(connection, bad).values()))


def _recordings(
    connection: apsw.Connection, rows: Sequence[tuple[int, str, str, int, str, float, int]]
) -> Iterator[StoredRecording]:
    spans: dict[int, list[Span]] = {row[0]: [] for row in rows}
    found = connection.execute(
        "SELECT rid, start, stop FROM segment WHERE rid IN (SELECT value FROM json_each(?)) "
        "ORDER BY sid",
        (json.dumps(list(spans)),),
    )
    for rid, start, stop in found:
        spans[rid].append(Span(start, stop))
    for rid, name, metadata, length, sha256, created_at, number in rows:
        yield StoredRecording(
            id=name,
            metadata=json.loads(metadata),
            length=length,
            digest=sha256,
            spans=tuple(spans[rid]),
            sequence=number,
            created_at=created_at,
        )
