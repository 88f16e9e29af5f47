"""Rows on their way to a file: kept on disk as they come, so that a killed run can go on.

A folder holds the raw rows of each output (`rows-0`, `rows-1`, ...), where they begin and end
(`spans`) and a journal with one line for each recording that is done, written after its rows. What
the journal does not name does not count, and is cut off when the folder is opened again.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import DataLoss, FailedPrecondition, SpaceMismatch
from embedsvc.feature_files.columns import Column
from embedsvc.feature_files.facts import Facts, space_fields, space_of
from embedsvc.types import Floats, Output, Span

COMMIT_SECONDS = 2.0
"""Work that a crash of the machine may cost; a killed process loses what is in memory."""

SPAN = np.dtype("<i8")
"""Starts and ends are whole samples at 16 kHz."""


@dataclass(frozen=True)
class Entry:
    """A recording that is done: what it is, how many rows it has, or why it has none.

    `size` and `modified` (ns) tell whether the file is still the one that was embedded.
    """

    path: str
    id: str
    size: int
    modified: int
    rows: int = 0
    seconds: float = 0.0
    digest: str = ""
    error: str = ""
    reason: str = ""

    def same_file(self, other: "Entry") -> bool:
        """Whether both are of one file, unchanged."""
        mine = (self.path, self.id, self.size, self.modified)
        return mine == (other.path, other.id, other.size, other.modified)


@dataclass(frozen=True)
class Contents:
    """All that goes into a file.

    `rows` are (N, D) by output, `spans` (N, 2) in samples, or None for frames. `columns` have one
    value for each of `entries`, which all have rows; `failures` have none.
    """

    facts: Facts
    entries: Sequence[Entry]
    failures: Sequence[Entry]
    rows: Mapping[str, NDArray[Any]]
    spans: NDArray[np.int64] | None
    columns: Mapping[str, Column]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the rows of each recording begin, and where the last end (R + 1,)."""
        counts = [entry.rows for entry in self.entries]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


class Spool:
    """One run's folder; a second process is refused.

    `request` is what was asked, as JSON can have it: a folder that was begun for something else
    raises FailedPrecondition. `facts` are None until the first rows tell the spaces.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any], facts: Facts) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._lock = _locked(folder / "LOCK")
        self._asked = facts
        self._files: dict[str, BinaryIO] = {}
        self.facts: Facts | None = None
        self.entries: list[Entry] = []
        self._pending: list[Entry] = []
        self._rows = 0
        self._committed = time.monotonic()
        try:
            self._open(request)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def check_begins(self, items: Sequence[Entry]) -> None:
        """Raise FailedPrecondition when what is done is not the begin of `items`."""
        for done, item in zip(self.entries, items, strict=False):
            if not done.same_file(item):
                raise FailedPrecondition(
                    f"what was begun in {self.folder} has {done.path} where {item.path} is now, "
                    "or a file has changed; --restart begins anew"
                )
        if len(self.entries) > len(items):
            raise FailedPrecondition(
                f"what was begun in {self.folder} has {len(self.entries)} files, but "
                f"{len(items)} are given now; --restart begins anew"
            )

    @staticmethod
    def forget(folder: Path) -> None:
        """Begin anew: leave nothing of what was begun in `folder`."""
        if folder.exists():
            lock = _locked(folder / "LOCK")
            shutil.rmtree(folder)
            os.close(lock)

    def append(self, outputs: Sequence[Output], spans: Sequence[Span]) -> int:
        """Add rows of the recording in hand, those of all outputs; gives back how many.

        `spans` are of the rows; of frames, which need none, they are left out.
        """
        facts = self._known(outputs)
        arrays = [np.atleast_2d(output.array) for output in outputs]
        counts = {len(array) for array in arrays}
        if len(counts) > 1:
            raise FailedPrecondition(
                f"all outputs must have equally many rows, but have {sorted(counts)}"
            )
        for place, array in enumerate(arrays):
            self._file(f"rows-{place}").write(_bytes(array, facts))
        if not facts.frames:
            edges = np.array([(span.start, span.end) for span in spans], SPAN)
            self._file("spans").write(edges.tobytes())
        return counts.pop()

    def finish(self, entry: Entry) -> None:
        """The recording in hand is done; with an error, its rows are taken back."""
        if entry.error:
            self._cut()
            entry = replace(entry, rows=0)
        self._rows += entry.rows
        self._pending.append(entry)
        if time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Make what is done durable: the rows first, then the journal that names them."""
        for name, file in self._files.items():
            if name != "journal":
                file.flush()
                os.fsync(file.fileno())
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in self._pending)
        journal = self._file("journal")
        journal.write(lines.encode("ascii"))
        journal.flush()
        os.fsync(journal.fileno())
        self.entries += self._pending
        self._pending = []
        self._committed = time.monotonic()

    def contents(self, columns: Mapping[str, Column]) -> Contents:
        """What was gathered; `columns` have one value for each entry, those that failed too."""
        self.commit()
        if self.facts is None:
            raise FailedPrecondition("there must be rows to write, but every file failed")
        kept = [place for place, entry in enumerate(self.entries) if not entry.error]
        return Contents(
            self.facts,
            [self.entries[place] for place in kept],
            [entry for entry in self.entries if entry.error],
            {
                name: _mapped(self.folder / f"rows-{place}", _dtype(self.facts), space.dim)
                for place, (name, space) in enumerate(self.facts.spaces.items())
            },
            None if self.facts.frames else _mapped(self.folder / "spans", SPAN, 2),
            {name: [column[place] for place in kept] for name, column in columns.items()},
        )

    def close(self) -> None:
        """Let others in; what is committed stays."""
        for file in self._files.values():
            try:
                file.close()
            except OSError:  # a full disk: what could not be written is not in the journal
                file.raw.close()  # type: ignore[attr-defined]  # of a buffered file
        self._files = {}
        os.close(self._lock)

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder)

    def _open(self, request: Mapping[str, Any]) -> None:
        asked = json.dumps(request, sort_keys=True)
        begun = self.folder / "request.json"
        self.entries, length = _journal(self.folder / "journal")
        if not self.entries:  # nothing is lost by another request
            (self.folder / "spaces.json").unlink(missing_ok=True)
            for rows in (*self.folder.glob("rows-*"), *self.folder.glob("spans")):
                rows.unlink()
            _replace(begun, asked)
        elif begun.read_text("utf-8") != asked:
            raise FailedPrecondition(
                f"{self.folder} was begun with other flags; --restart begins anew"
            )
        spaces = self.folder / "spaces.json"
        if spaces.exists():
            found = json.loads(spaces.read_text("utf-8"))
            known = {name: space_of(fields) for name, fields in found.items()}
            self.facts = replace(self._asked, spaces=known)
        with (self.folder / "journal").open("ab") as file:
            file.truncate(length)
        self._rows = sum(entry.rows for entry in self.entries)
        self._cut()

    def _cut(self) -> None:
        """Cut off rows that no journal names."""
        if self.facts is None:
            return
        widths = {
            f"rows-{place}": space.dim * _dtype(self.facts).itemsize
            for place, space in enumerate(self.facts.spaces.values())
        }
        if not self.facts.frames:
            widths["spans"] = 2 * SPAN.itemsize
        for name, width in widths.items():
            file = self._file(name)
            file.flush()
            if os.fstat(file.fileno()).st_size < self._rows * width:
                raise DataLoss(f"{self.folder / name} has lost rows; --restart begins anew")
            file.truncate(self._rows * width)
            file.seek(0, os.SEEK_END)

    def _file(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("ab")
        return self._files[name]

    def _known(self, outputs: Sequence[Output]) -> Facts:
        """The facts, once the first answer told the spaces; every other must be in the same."""
        spaces = {output.name: output.space for output in outputs}
        if self.facts is None:
            fields = {name: space_fields(space) for name, space in spaces.items()}
            _replace(self.folder / "spaces.json", json.dumps(fields))
            self.facts = replace(self._asked, spaces=spaces)
        for name, space in spaces.items():
            known = self.facts.spaces[name]
            if known.fingerprint != space.fingerprint:
                raise SpaceMismatch(
                    f"{self.folder} was begun in space {known.fingerprint}, but vectors are now "
                    f"of {space.fingerprint}; --restart begins anew"
                )
        return self.facts


def _dtype(facts: Facts) -> np.dtype[Any]:
    return np.dtype(facts.dtype.value).newbyteorder("<")


def _bytes(array: Floats, facts: Facts) -> bytes:
    return np.ascontiguousarray(array, _dtype(facts)).tobytes()


def _mapped(path: Path, dtype: np.dtype[Any], width: int) -> NDArray[Any]:
    return np.memmap(path, dtype, "r").reshape(-1, width)


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _journal(path: Path) -> tuple[list[Entry], int]:
    """The entries, and the length of the file up to the last whole one."""
    entries: list[Entry] = []
    length = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entries.append(Entry(**json.loads(line)))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n"):
                entries.pop()
                break
            length += len(line)
    return entries, length


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise FailedPrecondition(
            f"`--output` must not be in use, but another process writes {path.parent}"
        ) from error
    return descriptor
