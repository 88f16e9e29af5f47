"""Putting recordings into the tables and taking them out; always within a transaction."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apsw
import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import AlreadyExists, EmbedsvcError, RecordingNotFound
from embedsvc.index import codes, texts
from embedsvc.index.outcomes import WriteMode
from embedsvc.index.prepared import Halves, Prepared

Keys = NDArray[np.int64]

REMOVALS = 1_000
"""Recordings removed by one statement."""


@dataclass(frozen=True)
class Change:
    """What writes did to the tables: new segments, and by how much the counts moved.

    `rows` (N, width) have the vectors of all spaces.
    """

    sids: Keys
    rows: Halves
    recordings: int
    segments: int


def checksum(sid: int, data: bytes) -> int:
    """CRC-32 of a stored row of vectors; seeded with its place, so that a swapped row shows too."""
    return zlib.crc32(data, sid & 0xFFFF_FFFF)


class Changes:
    """Writes to one transaction, adding up what they change."""

    def __init__(self, connection: apsw.Connection, sequence: int, now: float) -> None:
        self._connection = connection
        self._sequence = sequence
        self._now = now
        self._sids: list[Keys] = []
        self._rows: list[Halves] = []
        self._recordings = 0
        self._segments = 0
        self._next_sid = 1 + self._last_sid()

    def put(self, recording: Prepared, mode: WriteMode) -> None:
        """Store `recording`; raises AlreadyExists or RecordingNotFound as `mode` says."""
        rid = self._connection.execute(
            "SELECT rid FROM recording WHERE id = ?", (recording.id,)
        ).get
        if rid is not None and mode is WriteMode.INSERT:
            raise AlreadyExists(f"`id` must be new, but {recording.id!r} is there", field="id")
        if rid is None and mode is WriteMode.UPDATE:
            raise RecordingNotFound(
                f"`id` must exist, but {recording.id!r} does not", field="id", name=recording.id
            )
        if rid is not None:
            self.remove((rid,))
        self._insert(recording)

    def put_all(
        self, recordings: Mapping[int, Prepared], mode: WriteMode
    ) -> dict[int, EmbedsvcError]:
        """Store recordings given by position; the errors of those that were not, likewise."""
        failures: dict[int, EmbedsvcError] = {}
        for position, recording in recordings.items():
            try:
                self.put(recording, mode)
            except EmbedsvcError as error:
                failures[position] = error
        return failures

    def remove(self, rids: Sequence[int]) -> int:
        """Remove recordings and all that belongs to them; the number removed."""
        removed = 0
        for first in range(0, len(rids), REMOVALS):
            removed += self._remove(json.dumps(rids[first : first + REMOVALS]))
        self._recordings -= removed
        return removed

    def result(self, width: int) -> Change:
        """All changes made so far, as one."""
        return Change(
            np.concatenate([np.zeros(0, np.int64), *self._sids]),
            np.concatenate([np.zeros((0, width), np.float16), *self._rows]),
            self._recordings,
            self._segments,
        )

    def _last_sid(self) -> int:
        last = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'segment'"
        ).get
        return int(last or 0)

    def _insert(self, recording: Prepared) -> None:
        execute, executemany = self._connection.execute, self._connection.executemany
        execute(
            "INSERT INTO recording (id, metadata, length, digest, created_at, sequence) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                recording.id,
                recording.metadata,
                recording.length,
                recording.digest,
                self._now,
                self._sequence,
            ),
        )
        rid = self._connection.last_insert_rowid()
        sids = np.arange(self._next_sid, self._next_sid + len(recording.spans), dtype=np.int64)
        executemany(
            "INSERT INTO segment (sid, rid, start, stop) VALUES (?, ?, ?, ?)",
            [(sid, rid, *span) for sid, span in zip(sids.tolist(), recording.spans, strict=True)],
        )
        blobs = [row.tobytes() for row in recording.rows]
        executemany(
            "INSERT INTO vector (sid, data, crc) VALUES (?, ?, ?)",
            [
                (sid, blob, checksum(sid, blob))
                for sid, blob in zip(sids.tolist(), blobs, strict=True)
            ],
        )
        executemany(
            "INSERT INTO label (rid, key, kind, value) VALUES (?, ?, ?, ?)",
            [(rid, *label) for label in recording.labels],
        )
        if recording.codes is not None:
            codes.store(self._connection, rid, recording.codes)
        texts.store(self._connection, rid, recording.lines)
        self._next_sid += len(sids)
        self._sids.append(sids)
        self._rows.append(recording.rows)
        self._recordings += 1
        self._segments += len(sids)

    def _remove(self, rids: str) -> int:
        execute = self._connection.execute
        listed = "rid IN (SELECT value FROM json_each(?))"
        execute(
            f"DELETE FROM vector WHERE sid IN (SELECT sid FROM segment WHERE {listed})",  # noqa: S608  # a constant
            (rids,),
        )
        execute(f"DELETE FROM segment WHERE {listed}", (rids,))  # noqa: S608  # a constant
        self._segments -= self._connection.changes()
        execute(f"DELETE FROM code WHERE {listed}", (rids,))  # noqa: S608  # a constant
        texts.remove(self._connection, rids)
        execute(f"DELETE FROM label WHERE {listed}", (rids,))  # noqa: S608  # a constant
        execute(f"DELETE FROM recording WHERE {listed}", (rids,))  # noqa: S608  # a constant
        return self._connection.changes()
