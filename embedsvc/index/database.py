"""SQLite as this room uses it: the schema, one connection that writes, and many that read."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from embedsvc.errors import DataLoss, DiskFull
from embedsvc.files import FULL_OR_FAILING, sync_directory

BUSY_MS = 5_000
"""How long a connection waits for another; only while the log is recovered after a crash."""

ROWS_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS recording (
    rid INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL,
    length INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created_at REAL NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS segment (
    sid INTEGER PRIMARY KEY AUTOINCREMENT,
    rid INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS segment_of_recording ON segment (rid);
CREATE TABLE IF NOT EXISTS vector (
    sid INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS code (
    cid INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    data BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS code_of_recording ON code (rid, first, count);
CREATE TABLE IF NOT EXISTS line (
    lid INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL,
    head TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    terms TEXT NOT NULL,
    units BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS line_of_recording ON line (rid);
CREATE TABLE IF NOT EXISTS phones (
    lid INTEGER PRIMARY KEY, rid INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS phones_of_recording ON phones (rid);
CREATE TABLE IF NOT EXISTS phone (number INTEGER PRIMARY KEY, symbol TEXT NOT NULL UNIQUE) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS words
    USING fts5(terms, content='line', content_rowid='lid', tokenize='ascii');
CREATE TABLE IF NOT EXISTS label (
    rid INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    value ANY NOT NULL,
    PRIMARY KEY (rid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS label_by_value ON label (key, kind, value, rid);
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, outcome TEXT NOT NULL, stored_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS request_by_time ON request (stored_at);
CREATE TABLE IF NOT EXISTS fitted (
    space INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    data BLOB NOT NULL,
    crc INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    segments INTEGER NOT NULL,
    created_at REAL NOT NULL
) STRICT;
"""
"""Vectors and labels have their own tables so that the recordings stay small to scan. The vectors
of a segment in all spaces of a collection are one blob; `parts` says which is where.

AUTOINCREMENT never gives an id out twice, so that a `sid` in a base built before a deletion
can never mean another segment.

The terms of `line` are words already; to the tokenizer `ascii` every letter outside of ASCII is
part of one.
"""


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what SQLite says of a full, failing or damaged disk into our errors."""
    try:
        yield
    except (apsw.FullError, apsw.IOError) as error:
        raise DiskFull(FULL_OR_FAILING) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DataLoss("`collection` must be readable, but its database is damaged") from error


def open_writer(path: Path, vfs: str, schema: str) -> apsw.Connection:
    """The connection that writes `path`; there must be only one in the world.

    One writer that is also the only one to checkpoint, and a lock around the directory, keep
    clear of https://sqlite.org/wal.html#walresetbug even on an SQLite that has it.
    """
    connection = apsw.Connection(str(path), vfs=vfs or None)
    connection.set_busy_timeout(BUSY_MS)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("secure_delete", True)
    with connection:
        connection.execute(schema)
    # The switch to WAL removes a rollback journal. Were that journal to come back after a power
    # cut, it would undo the switch and every write acknowledged since.
    sync_directory(path.parent)
    return connection


class Readers:
    """Connections to `path` that only read; one is lent to one thread at a time."""

    def __init__(self, path: Path, vfs: str) -> None:
        self._path = path
        self._vfs = vfs
        self._idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[apsw.Connection]:
        """A connection of the caller's own; what it began is over when it comes back."""
        connection = self._take()
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._idle.put(connection)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the idle connections now, and the lent ones as they come back."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _take(self) -> apsw.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            flags = apsw.SQLITE_OPEN_READONLY
            connection = apsw.Connection(str(self._path), flags=flags, vfs=self._vfs or None)
            connection.set_busy_timeout(BUSY_MS)
            connection.pragma("query_only", True)
            return connection
