"""The folder of one batch: audio until it is written down, and what came of it from then on.

File number N is `N.audio` until `N.json` is there, beside `N.transcript`: that is made last, and
all of it or none. `files.json` lists what was sent, and is there once all of it is.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Self

from embedsvc.errors import (
    AudioQuarantined,
    AudioTooLong,
    FailedPrecondition,
    InvalidArgument,
    StreamProtocol,
)
from embedsvc.files import FILE_BYTES, Take, disk_errors, replace_file, sync_directory
from embedsvc.types import ChannelPolicy, PcmFormat, SampleFormat

LIST = "files.json"
LONGEST_ID = 200
MOST_TRIES = 2
"""Begun so often without an end, a file is what ends the process, and is passed by."""


@dataclass(frozen=True)
class Limits:
    """What one batch may be."""

    files: int
    file_bytes: int
    bytes: int


@dataclass(frozen=True)
class Sent:
    """A file as its sender described it; `pcm` is None for an encoded one."""

    id: str
    pcm: PcmFormat | None = None
    policy: ChannelPolicy = ChannelPolicy.MIX
    strict: bool = False


class Gathering:
    """Takes the files of a batch into a new folder, which is gone if the block fails.

    `take` is told of bytes before they are written.
    """

    def __init__(self, folder: Path, limits: Limits, take: Take = lambda _: None) -> None:
        take(0)
        self.folder = folder
        self._limits = limits
        self._take = take
        self._sent: dict[str, Sent] = {}
        self._file: BinaryIO | None = None
        self._size = 0
        self._total = 0
        self._is_over = False
        self._lock = Lock()
        with disk_errors():
            folder.mkdir(mode=0o700, parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A sender that leaves does not wait for the thread that keeps what it sent.
        with self._lock:
            self._is_over = True
            if self._file is not None:
                # What a full disk did not take is written once more here, and goes with the folder.
                with suppress(OSError):
                    self._file.close()
            if kind is not None:
                shutil.rmtree(self.folder, ignore_errors=True)

    def next(self, sent: Sent) -> None:
        """The next file; raises InvalidArgument for its id, or one too many."""
        with self._lock:
            self._next(sent)

    def write(self, data: bytes) -> None:
        """Bytes of the file in hand; raises AudioTooLong, and InvalidArgument for all in all."""
        with self._lock:
            self._write(data)

    def _next(self, sent: Sent) -> None:
        if self._is_over:
            return
        if not 1 <= len(sent.id) <= LONGEST_ID:
            raise InvalidArgument(
                f"`file.id` must have 1 to {LONGEST_ID} characters, but has {len(sent.id)}",
                field="file.id",
            )
        if sent.id in self._sent:
            raise InvalidArgument(
                f"`file.id` must be once in a batch, but {sent.id!r} is twice", field="file.id"
            )
        if len(self._sent) == self._limits.files:
            raise InvalidArgument(
                f"`file` must be at most {self._limits.files} in one batch, but there are more",
                field="file",
                max_files=self._limits.files,
            )
        self._close()
        self._take(FILE_BYTES)
        with disk_errors():
            self._file = (self.folder / f"{len(self._sent)}.audio").open("wb")
        self._sent[sent.id] = sent

    def _write(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._file is None:
            raise StreamProtocol("`file` must come before its `audio`", field="file")
        self._size += len(data)
        self._total += len(data)
        if self._size > self._limits.file_bytes:
            raise AudioTooLong(
                f"`audio` must be at most {self._limits.file_bytes} bytes in one file, but "
                f"{list(self._sent)[-1]!r} has more",
                field="audio",
                max_bytes=self._limits.file_bytes,
            )
        if self._total > self._limits.bytes:
            raise InvalidArgument(
                f"`audio` must be at most {self._limits.bytes} bytes in one batch, but is more; "
                "send several batches",
                field="audio",
                max_bytes=self._limits.bytes,
            )
        self._take(len(data))
        with disk_errors():
            self._file.write(data)

    def finish(self) -> None:
        """All is there, and survives a crash; raises InvalidArgument for nothing."""
        if not self._sent:
            raise InvalidArgument("`file` must be some, but are none", field="file")
        listed = [asdict(sent) for sent in self._sent.values()]
        with self._lock, disk_errors():
            if self._is_over:
                return
            self._close()
            replace_file(self.folder / LIST, json.dumps(listed).encode())
            sync_directory(self.folder)
            sync_directory(self.folder.parent)

    def _close(self) -> None:
        if self._file is not None:
            with disk_errors():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
        self._file, self._size = None, 0


@dataclass(frozen=True)
class Result:
    """What came of one file; `notes` are as they were made."""

    failed: bool
    audio_seconds: float
    work_seconds: float
    notes: bytes


class Batch:
    """What was gathered, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> Sequence[Sent]:
        """What was sent, in order; raises FailedPrecondition when it is gone."""
        try:
            listed = json.loads((self._folder / LIST).read_bytes())
        except OSError as error:
            raise FailedPrecondition(
                "the files of this batch are no longer there; send them again"
            ) from error
        return tuple(map(_sent, listed))

    def audio(self, place: int) -> Path:
        """Where the bytes of a file are."""
        return self._folder / f"{place}.audio"

    def transcript(self, place: int) -> Path:
        """Where notes of a file are kept; they count from `finish` on."""
        return self._folder / f"{place}.transcript"

    def begin(self, place: int) -> None:
        """Count a try; raises AudioQuarantined when there is none left."""
        tries = self._tries(place)
        if tries >= MOST_TRIES:
            raise AudioQuarantined(f"the server ended {tries} times over this file")
        with disk_errors():
            (self._folder / f"{place}.tries").write_text(str(tries + 1))

    def leave(self, place: int) -> None:
        """A try that was ended in order does not count, unless the disk is full."""
        with suppress(OSError):
            (self._folder / f"{place}.tries").write_text(str(max(0, self._tries(place) - 1)))

    def refuse(self, place: int, notes: bytes) -> None:
        """Notes of a file that could not be written down, in place of others."""
        with disk_errors():
            self.transcript(place).write_bytes(notes)

    def finish(self, place: int, facts: Mapping[str, Any]) -> None:
        """Keep what came of a file, durably, and let go of its audio."""
        with disk_errors():
            with self.transcript(place).open("rb") as notes:
                os.fsync(notes.fileno())
            replace_file(self._folder / f"{place}.json", json.dumps(facts).encode())
            sync_directory(self._folder)
            self.audio(place).unlink(missing_ok=True)
            (self._folder / f"{place}.tries").unlink(missing_ok=True)

    def is_finished(self, place: int) -> bool:
        """Whether it is known what came of a file."""
        return (self._folder / f"{place}.json").is_file()

    def result(self, place: int) -> Result | None:
        """What came of a file; None as long as nobody knows."""
        try:
            facts = json.loads((self._folder / f"{place}.json").read_bytes())
            return Result(notes=self.transcript(place).read_bytes(), **facts)
        except FileNotFoundError:
            return None

    def counts(self) -> Mapping[str, Any]:
        """All files, those that failed, and the seconds of audio and of work."""
        facts = [
            json.loads((self._folder / f"{place}.json").read_bytes())
            for place in range(len(self.files()))
        ]
        return {
            "files": len(facts),
            "failed": sum(each["failed"] for each in facts),
            "audio_seconds": sum(each["audio_seconds"] for each in facts),
            "work_seconds": sum(each["work_seconds"] for each in facts),
        }

    def drop_audio(self) -> None:
        """Nothing more is written down."""
        for path in self._folder.glob("*.audio"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Let go of everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tries(self, place: int) -> int:
        try:
            return int((self._folder / f"{place}.tries").read_text() or 0)
        except FileNotFoundError:
            return 0


def _sent(facts: Mapping[str, Any]) -> Sent:
    pcm = facts["pcm"]
    form = None
    if pcm is not None:
        form = PcmFormat(SampleFormat(pcm["format"]), pcm["sample_rate"], pcm["channels"])
    return Sent(facts["id"], form, ChannelPolicy(facts["policy"]), facts["strict"])
