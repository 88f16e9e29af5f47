"""The probes of a data directory, and those that came with the model.

`NAME/VERSION/` holds `probe.safetensors` and `probe.json`. A version appears by a rename when all
of it is on disk, and never changes; the newest is served. Whoever has a probe keeps it, whatever
becomes of its name. Reading needs no lock on the directory, writing does.
"""

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from embedsvc.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    ProbeNotFound,
    Unavailable,
)
from embedsvc.files import disk_errors, sync_directory
from embedsvc.probes.draft import Draft
from embedsvc.probes.held import Held, Memory
from embedsvc.probes.probe import Probe
from embedsvc.probes.storing import MOST_CARD_BYTES, MOST_TENSOR_BYTES, from_files, to_files

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

TENSORS_FILE = "probe.safetensors"
CARD_FILE = "probe.json"

KEPT_VERSIONS = 5
"""Of one name; older ones go when a new one comes."""

BUNDLED = 0
"""The version of a probe that came with the model."""

_DRAFT = ".draft-"
_COUNT = "count"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_ADDRESS = re.compile(rf"(?P<name>{NAME.pattern})(?:@(?P<version>0|{_VERSION.pattern}))?")

Fault = Callable[[str, BaseException], None]
"""Told of a probe on disk that cannot be read, when that is first seen."""


@dataclass(frozen=True)
class _Place:
    """Where a version of a probe is, and what tells it from another that was there before."""

    name: str
    version: int
    folder: Path
    stamp: tuple[int, int]


class Shelf:
    """Probes by name. Its methods block, and may be called from any thread.

    `bundled` is the folder with one folder for each probe of the model, if there is one.
    """

    def __init__(self, folder: Path, bundled: Path | None, fault: Fault) -> None:
        self._folder = folder
        self._bundled = bundled
        self._fault = fault
        self._lock = threading.Lock()
        self._memory = Memory()

    def recover(self) -> None:
        """Remove what interrupted writes left; only for whoever has the directory alone."""
        for folder in (self._folder, *(self._folder / name for name in self._names())):
            for draft in folder.glob(f"{_DRAFT}*"):
                shutil.rmtree(draft, ignore_errors=True)

    def get(self, address: str, field: str = "probe") -> Probe:
        """The probe NAME, or NAME@VERSION; raises InvalidArgument, ProbeNotFound or DataLoss."""
        held = self._read(self._find(address, field))
        if held.error is not None:
            raise held.error.named(field)
        assert held.probe is not None
        return held.probe

    def held(self, address: str, field: str = "probe") -> Probe | None:
        """The same when it is in memory: that takes some looks at directories, and no thread."""
        place = self._find(address, field)
        held = self._memory.get(place.folder, place.stamp)
        return held.probe if held is not None else None

    def list(self, after: str, limit: int) -> list[Probe]:
        """The first of `each`."""
        return list(islice(self.each(after), limit))

    def each(self, after: str = "") -> Iterator[Probe]:
        """The newest of each name from the first after `after`; damaged ones are left out."""
        names = {*self._names(), *self._own_names()}
        for name in sorted(each for each in names if each > after):
            with suppress(ProbeNotFound, DataLoss):  # deleted since, or damaged
                yield self.get(name)

    def next_version(self, name: str) -> int:
        """The number that the next probe of a name gets."""
        newest = max((each.version for each in self._places(name)), default=0)
        try:
            count = int((self._folder / name / _COUNT).read_text())
        except (OSError, ValueError):
            count = 0
        return max(newest, count) + 1

    def add(self, name: str, probe: Probe, draft: Draft | None = None) -> Probe:
        """Serve `probe` under `name` from now on; durable on return. Gives it with its version.

        `draft`, on the same file system, knows afterwards that it was added, whatever ends the
        process. Raises InvalidArgument for the name, DiskFull, and then nothing has changed.
        """
        check_name(name)
        with self._lock, disk_errors():
            numbered = probe.renamed(name, self.next_version(name))
            self._write(numbered, draft)
            places = self._places(name)
            for old in places[:-KEPT_VERSIONS]:
                with suppress(OSError):  # the new one is there, whatever becomes of the old
                    self._remove(old.folder, self._folder / name)
            kept = {each.folder for each in places[-KEPT_VERSIONS:]}
            self._memory.forget(self._folder / name, kept)
        return numbered

    def delete(self, address: str, field: str = "name") -> None:
        """Remove all versions of a name, or one; raises ProbeNotFound when there is none.

        Raises FailedPrecondition for a probe that came with the model.
        """
        name, version = parsed(address, field)
        with self._lock, disk_errors():
            places = self._places(name)
            chosen = [each for each in places if version in {None, each.version}]
            if not chosen:
                if self._own_place(name) is not None and version in {None, BUNDLED}:
                    raise FailedPrecondition(
                        f"`{field}` must be of a probe that was trained or imported here, but "
                        f"{name!r} came with the model",
                        field=field,
                    )
                raise _missing(address, [each.version for each in places], field)
            if len(chosen) == len(places):
                self._remove(self._folder / name, self._folder)
                self._memory.forget(self._folder / name, set())
                return
            # Its number is not given again: whoever asks for it must not meet another probe.
            self._note_count(name, places[-1].version)
            for each in chosen:
                self._remove(each.folder, self._folder / name)

    def is_bundled(self, probe: Probe) -> bool:
        """Whether a probe of this shelf came with the model."""
        return probe.info.version == BUNDLED

    def _find(self, address: str, field: str) -> _Place:
        name, version = parsed(address, field)
        places = self._places(name)
        if version is None:
            place = places[-1] if places else self._own_place(name)
        elif version == BUNDLED:
            place = self._own_place(name)
        else:
            place = next((each for each in places if each.version == version), None)
        if place is None:
            raise _missing(address, [each.version for each in places], field)
        return place

    def _write(self, probe: Probe, draft: Draft | None) -> None:
        files = to_files(probe)
        folder, version = self._folder / probe.info.name, probe.info.version
        self._make(folder)
        draft = draft or Draft(folder / f"{_DRAFT}{version}")
        contents = {TENSORS_FILE: files.tensors, CARD_FILE: files.card}
        draft.move(contents, version, folder / str(version))

    def _make(self, folder: Path) -> None:
        """Make a folder of the shelf durable, and those above it."""
        for each in (self._folder, folder):
            if not each.is_dir():
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_directory(each.parent)

    def _note_count(self, name: str, version: int) -> None:
        draft = self._folder / name / f"{_DRAFT}{_COUNT}"
        draft.mkdir(mode=0o700, exist_ok=True)
        with (draft / _COUNT).open("w") as file:
            file.write(str(max(version, self.next_version(name) - 1)))
            file.flush()
            os.fsync(file.fileno())
        (draft / _COUNT).rename(self._folder / name / _COUNT)
        draft.rmdir()
        sync_directory(self._folder / name)

    def _remove(self, folder: Path, parent: Path) -> None:
        """Let a folder go all at once, so that no half of it is ever seen."""
        gone = parent / f"{_DRAFT}gone-{folder.name}"
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        sync_directory(parent)
        shutil.rmtree(gone, ignore_errors=True)

    def _names(self) -> Iterator[str]:
        yield from _folders(self._folder)

    def _own_names(self) -> Iterator[str]:
        if self._bundled is not None:
            yield from _folders(self._bundled)

    def _places(self, name: str) -> Sequence[_Place]:
        """The versions of a name that are kept in the data directory, the newest last."""
        folder = self._folder / name
        try:
            listed = [each.name for each in folder.iterdir()]
        except OSError:
            return []
        versions = sorted(int(each) for each in listed if _VERSION.fullmatch(each))
        found = (_place(name, each, folder / str(each)) for each in versions)
        return [each for each in found if each is not None]

    def _own_place(self, name: str) -> _Place | None:
        return None if self._bundled is None else _place(name, BUNDLED, self._bundled / name)

    def _read(self, place: _Place) -> Held:
        held = self._memory.get(place.folder, place.stamp)
        if held is None:
            held = self._load(place)
            if not isinstance(held.error, Unavailable):
                self._memory.put(place.folder, held)
        return held

    def _load(self, place: _Place) -> Held:
        try:
            tensors = _bytes(place.folder / TENSORS_FILE, MOST_TENSOR_BYTES)
            probe = from_files(tensors, _bytes(place.folder / CARD_FILE, MOST_CARD_BYTES))
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}:
                self._fault(f"probes/{place.name}@{place.version}", error)
                failure = Unavailable(f"`probe` {place.name} cannot be read at the moment")
                return Held(place.stamp, None, failure)
            return self._damaged(place, error)
        except InvalidArgument as error:
            return self._damaged(place, error)
        return Held(place.stamp, probe.renamed(place.name, place.version), None)

    def _damaged(self, place: _Place, error: Exception) -> Held:
        self._fault(f"probes/{place.name}@{place.version}", error)
        damage = DataLoss(
            f"`probe` {place.name}@{place.version} must be readable, but its files are damaged",
            field="probe",
        )
        return Held(place.stamp, None, damage)


def check_name(name: str, field: str = "name") -> str:
    """Return `name` if a probe may have it; raises InvalidArgument."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f"`{field}` must be 1-64 of a-z, 0-9, `_` and `-`, and begin with a letter or digit, "
            f"but is {name[:80]!r}",
            field=field,
        )
    return name


def parsed(address: str, field: str = "probe") -> tuple[str, int | None]:
    """Name and version of NAME or NAME@VERSION; raises InvalidArgument.

    >>> parsed("language"), parsed("language@3")
    (('language', None), ('language', 3))
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        check_name(address.partition("@")[0], field)
        raise InvalidArgument(
            f"`{field}` must be NAME or NAME@VERSION, but is {address[:80]!r}", field=field
        )
    version = found["version"]
    return found["name"], None if version is None else int(version)


def _missing(address: str, kept: Sequence[int], field: str) -> ProbeNotFound:
    there = f"; kept are {', '.join(map(str, kept))}" if kept else ""
    return ProbeNotFound(
        f"`{field}` must exist, but {address!r} does not{there}", field=field, name=address
    )


def _place(name: str, version: int, folder: Path) -> _Place | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return _Place(name, version, folder, (found.st_ino, found.st_mtime_ns))


def _folders(folder: Path) -> Iterator[str]:
    try:
        listed = list(folder.iterdir())
    except OSError:
        return
    yield from (each.name for each in listed if NAME.fullmatch(each.name) and each.is_dir())


def _bytes(path: Path, most: int) -> bytes:
    """The content of a file, but not of one that is too large to be of a probe."""
    with path.open("rb") as file:
        return file.read(most + 1)
