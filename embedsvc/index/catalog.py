"""All collections of one data directory."""

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from embedsvc.errors import (
    AlreadyExists,
    CollectionNotFound,
    EmbedsvcError,
    InvalidArgument,
    Unavailable,
)
from embedsvc.files import Ballast, DirectoryLock, sync_directory
from embedsvc.index.collection import Collection
from embedsvc.index.compactor import Compactor
from embedsvc.index.database import open_writer, storage_errors
from embedsvc.index.identity import COLUMNS, Identity, identity
from embedsvc.index.outcomes import Tuning
from embedsvc.index.store import Surroundings
from embedsvc.types import Segmentation, Space, Texts

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

SCHEMA = """
CREATE TABLE IF NOT EXISTS collection (
    uid TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    format INTEGER NOT NULL,
    space TEXT NOT NULL,
    segmentation TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
"""


@dataclass
class _Slot:
    """A collection that exists; it is opened when it is first asked for."""

    row: tuple[Any, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)
    collection: Collection | None = None
    gone: bool = False


class Catalog:
    """The collections in `directory`, which is made if it is missing; sole use while open.

    A row in `catalog.db` is what makes a collection exist: a folder without one is what an
    interrupted creation or deletion left, and is removed at the next start. Raises
    DataDirectoryInUse.
    """

    def __init__(self, directory: Path, tuning: Tuning | None = None) -> None:
        self._directory = directory
        self._tuning = tuning or Tuning()
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(directory.parent)
        self._held = DirectoryLock(directory)
        try:
            self._connection, self._slots = self._start()
        except BaseException:
            self._held.release()
            raise
        self._lock = threading.Lock()
        self._closed = False
        self._around = Surroundings(
            self._tuning,
            Compactor(self._tuning.retry_seconds),
            self._ballast(),
            Compactor(self._tuning.retry_seconds),
        )

    def create(
        self,
        name: str,
        spaces: Space | Mapping[str, Space],
        segmentation: Segmentation,
        recipe: bytes | None = None,
        texts: Texts | None = None,
    ) -> Collection:
        """Make an empty collection; raises AlreadyExists, or InvalidArgument for its name.

        Of `spaces` by name the first is searched when none is named; a sole one needs no name. With
        a `recipe` it keeps codes of frames, with `texts` these.
        """
        named = {"": spaces} if isinstance(spaces, Space) else dict(spaces)
        if not NAME.fullmatch(name):
            raise InvalidArgument(
                "`collection` must be 1-64 of a-z, 0-9, `_` and `-`, and begin with a letter or "
                f"digit, but is {name[:80]!r}",
                field="collection",
            )
        with self._lock:
            self._check_open()
            if name in self._slots:
                raise AlreadyExists(
                    f"`collection` must be new, but {name!r} is there", field="collection"
                )
            now = self._tuning.clock()
            new = Identity(secrets.token_hex(16), name, named, segmentation, now)
            with storage_errors():
                collection = self._make(new, recipe, texts)
            self._slots[name] = _Slot(new.row(), collection=collection)
            return collection

    def get(self, name: str) -> Collection:
        """The collection of that name; raises CollectionNotFound, FailedPrecondition, DataLoss."""
        with self._lock:
            self._check_open()
            slot = self._slots.get(name)
        if slot is None:
            raise _missing(name)
        with slot.lock:
            if slot.gone:
                raise _missing(name)
            if slot.collection is None:
                slot.collection = self._open(identity(slot.row))
            return slot.collection

    def names(self, after: str = "", limit: int | None = None) -> list[str]:
        """Names in order, those behind `after`, at most `limit`."""
        with self._lock:
            self._check_open()
            return sorted(name for name in self._slots if name > after)[:limit]

    def delete(self, name: str) -> None:
        """Remove a collection with all it holds; raises CollectionNotFound."""
        with self._lock:
            self._check_open()
            slot = self._slots.get(name)
            if slot is None:
                raise _missing(name)
            self._execute(lambda: self._forget(name))
            del self._slots[name]
        with slot.lock:
            slot.gone = True
            if slot.collection is not None:
                slot.collection.close(_missing(name))
        shutil.rmtree(self._folder(slot.row[0]), ignore_errors=True)

    def close(self) -> None:
        """Close all collections; returns when the work in hand is done."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for slot in self._slots.values():
            with slot.lock:
                slot.gone = True
                if slot.collection is not None:
                    slot.collection.close(Unavailable("`collection` is closed"))
        self._around.accelerator.close()
        self._around.compactor.close()
        self._connection.close()
        self._held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> tuple[apsw.Connection, dict[str, _Slot]]:
        folders = self._directory / "collections"
        folders.mkdir(mode=0o700, exist_ok=True)
        with storage_errors():
            connection = open_writer(self._directory / "catalog.db", self._tuning.vfs, SCHEMA)
            rows: list[Any] = list(connection.execute(f"SELECT {COLUMNS} FROM collection"))  # noqa: S608  # constants
        known = {row[0] for row in rows}
        for path in folders.iterdir():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)
        return connection, {row[1]: _Slot(row) for row in rows}

    def _ballast(self) -> Ballast:
        ballast = Ballast(self._directory / "BALLAST", self._tuning.ballast_bytes)
        ballast.hold()
        return ballast

    def _make(self, new: Identity, recipe: bytes | None, texts: Texts | None) -> Collection:
        folder = self._folder(new.uid)
        folder.mkdir(mode=0o700)
        collection: Collection | None = None
        try:
            collection = self._open(new)
            if recipe is not None:
                collection.keep_codes(recipe)
            if texts is not None:
                collection.keep_texts(texts)
            sync_directory(folder.parent)
            self._connection.execute(
                f"INSERT INTO collection ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608  # constants
                new.row(),
            )
        except BaseException:
            if collection is not None:
                collection.close(_missing(new.name))
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return collection

    def _open(self, known: Identity) -> Collection:
        return Collection(self._folder(known.uid), known, self._around)

    def _forget(self, name: str) -> None:
        self._connection.execute("DELETE FROM collection WHERE name = ?", (name,))

    def _execute(self, write: Callable[[], None]) -> None:
        """Run a write that frees space, at the cost of the ballast if need be."""
        try:
            with storage_errors():
                write()
        except EmbedsvcError:
            self._around.ballast.release()
            with storage_errors():
                write()

    def _folder(self, uid: str) -> Path:
        return self._directory / "collections" / uid

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("`data_dir` is closed")


def _missing(name: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"`collection` {name[:80]!r} does not exist", field="collection", name=name[:80]
    )
