"""SQLite file systems that fill up, or that remember what a power cut would leave behind."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


class FullDisk(apsw.VFS):
    """A disk with room for `limit` bytes under `directory`, ours included; None is no limit."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, "")
        self.label = name
        self.directory = directory
        self.limit: int | None = None
        self.failing = False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _FullFile(name, flags, self)

    def check(self, growth: int) -> None:
        if self.failing:
            raise apsw.IOError("failing")
        used = sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())
        if self.limit is not None and growth > 0 and used + growth > self.limit:
            raise apsw.FullError("full")


class _FullFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: FullDisk) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.check(offset + len(data) - self.xFileSize())
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.check(0)
        super().xSync(flags)


@dataclass(frozen=True)
class Event:
    """Something done to the disk, or, with an empty `file`, something acknowledged to a caller."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""
    note: Any = None


@dataclass
class Tape:
    """All that was done to the disk, in order."""

    root: Path
    events: list[Event] = field(default_factory=list)

    def acknowledge(self, note: Any) -> None:
        self.events.append(Event("ack", note=note))

    def name(self, file: str | Path) -> str:
        return os.path.relpath(file, self.root)


class RecordingDisk(apsw.VFS):
    """Writes everything through, and onto a tape."""

    def __init__(self, name: str, tape: Tape) -> None:
        super().__init__(name, "")
        self.tape = tape

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _RecordingFile(name, flags, self.tape)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self.tape.events.append(Event("delete", self.tape.name(name), note=sync))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], tape: Tape) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = tape.name(path) if path else "temporary"
        self._tape = tape

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._tape.events.append(Event("write", self._name, offset, bytes(data)))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._tape.events.append(Event("sync", self._name))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._tape.events.append(Event("truncate", self._name, newsize))


def recorded(tape: Tape, call: Callable[[Path], None]) -> Callable[[Path], None]:
    """`call`, which makes the names in a directory durable, also put on tape."""

    def sync(directory: Path) -> None:
        call(directory)
        tape.events.append(Event("sync directory", tape.name(directory)))

    return sync


def recorded_replacement(
    tape: Tape, call: Callable[[Path, bytes | memoryview], None]
) -> Callable[[Path, bytes | memoryview], None]:
    """`call`, which gives a file new content, also put on tape."""

    def replace(path: Path, content: bytes | memoryview) -> None:
        call(path, content)
        tape.events.append(Event("replace", tape.name(path), data=bytes(content)))

    return replace


def recorded_removal(tape: Tape, call: Callable[..., None]) -> Callable[..., None]:
    """`Path.unlink`, also put on tape."""

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        call(path, missing_ok=missing_ok)
        if path.is_relative_to(tape.root):
            tape.events.append(Event("delete", tape.name(path)))

    return unlink


def after_power_cut(tape: Tape, cut: int, chance: random.Random, target: Path) -> list[Any]:
    """Leave in `target` what a disk may hold after the first `cut` events; what was acknowledged.

    What was synced is there. Of the rest each write may be missing, or torn at a sector, and each
    removal or replacement undone, whatever the order they were made in.
    """
    events = tape.events[:cut]
    synced = {event.file: place for place, event in enumerate(events) if event.what == "sync"}
    listed = {
        event.file: place for place, event in enumerate(events) if event.what == "sync directory"
    }
    files: dict[str, bytearray] = {}
    for place, event in enumerate(events):
        durable = place <= synced.get(event.file, -1)
        if event.what in {"delete", "replace"}:
            durable = event.note or place < listed.get(str(Path(event.file).parent), -1)
        if event.what not in {"write", "truncate", "delete", "replace"}:
            continue
        if durable or chance.random() < 0.5:
            torn = event.what == "write" and not durable and chance.random() < 0.3
            _apply(files, event, chance.randrange(len(event.data) + 1) if torn else None)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return [event.note for event in events if event.what == "ack"]


def _apply(files: dict[str, bytearray], event: Event, torn_at: int | None) -> None:
    if event.what == "delete":
        files.pop(event.file, None)
        return
    if event.what == "replace":
        files[event.file] = bytearray(event.data)
        return
    content = files.setdefault(event.file, bytearray())
    if event.what == "truncate":
        del content[event.offset :]
        return
    data = event.data if torn_at is None else event.data[: torn_at // SECTOR * SECTOR]
    content.extend(bytes(max(0, event.offset + len(data) - len(content))))
    content[event.offset : event.offset + len(data)] = data
