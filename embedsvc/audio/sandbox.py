"""Decoding of foreign bytes in child processes, so that a broken decoder breaks nothing else.

Sound file decoders are C libraries with a history of memory errors. Here a crash, a hang or a
memory bomb costs the one caller whose file it was an AudioUndecodable; the process is replaced.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from embedsvc import errors
from embedsvc.audio import messages
from embedsvc.audio.door import Door
from embedsvc.errors import AudioUndecodable, EmbedsvcError, Unavailable
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Audio, AudioWarning, Floats, WarningCode

TIMEOUT = 30.0
"""Seconds without a word from a worker after which it is taken to hang.

A worker speaks at least every 32,768 samples, which take milliseconds.
"""

_START_TIMEOUT = 60.0
_STARTS = 3
"""Attempts to start a worker: one may be killed, as by the system when memory is short."""

_INHERITED = ("LANG", "LD_LIBRARY_PATH", "PATH")


class DecodePool:
    """Decodes as `decode` and `FileStream` do, in up to `workers` processes kept warm.

    Safe for threads: `decode` waits for a free worker. A stream never waits, because it may last
    as long as its consumer likes: if no worker is idle, it gets a process of its own.
    """

    def __init__(self, workers: int = 1, *, timeout: float = TIMEOUT) -> None:
        self._workers = workers
        self._timeout = timeout
        self._slots = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def decode(self, data: bytes, door: Door) -> Audio:
        """The utterance in a sound file; AudioUndecodable also if the decoder broke on it."""
        with self._slots, _in_memory(data) as file, self.stream(file, door) as stream:
            samples = np.concatenate(list(stream))
            return Audio(samples, stream.warnings)

    @contextmanager
    def stream(self, file: IO[bytes], door: Door) -> Iterator["SandboxStream"]:
        """A `FileStream` over an open file, which needs a descriptor; its place stays."""
        file.flush()
        worker = self._ask(file.fileno(), door)
        stream = SandboxStream(worker, door.max_seconds)
        try:
            yield stream
        finally:
            # One that still has something to say would say it to the next caller.
            self._give_back(worker, reusable=stream.finished)

    def close(self) -> None:
        """Stop the idle workers, and the others as soon as they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    def _ask(self, descriptor: int, door: Door) -> "_Worker":
        worker = self._take()
        try:
            worker.ask(descriptor, door)
        except OSError:
            # It died since its last answer, which is not the fault of this file.
            worker.stop()
            worker = _started(self._timeout)
            worker.ask(descriptor, door)
        return worker

    def _take(self) -> "_Worker":
        with self._lock:
            if self._closed:
                raise Unavailable("the decoder is closed")
            if self._idle:
                return self._idle.pop()
        return _started(self._timeout)

    def _give_back(self, worker: "_Worker", *, reusable: bool) -> None:
        with self._lock:
            kept = reusable and not self._closed and len(self._idle) < self._workers
            if kept:
                self._idle.append(worker)
        if not kept:
            worker.stop()


class SandboxStream:
    """Iterates over the blocks of samples (N,) that a worker decodes, in bounded memory."""

    def __init__(self, worker: "_Worker", max_seconds: float) -> None:
        # The resampler may round up.
        self._most = int(max_seconds * SAMPLE_RATE) + 1
        self._worker = worker
        self._warnings: tuple[AudioWarning, ...] = ()
        self._finished = False
        self._blocks = self._read()

    def __iter__(self) -> Iterator[Floats]:
        return self._blocks

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete when the iteration is over."""
        return self._warnings

    @property
    def finished(self) -> bool:
        """Whether the worker has said all that it had to say about this file."""
        return self._finished

    def _read(self) -> Iterator[Floats]:
        given = 0
        while not self._finished:
            message = self._worker.answer()
            given += len(message.samples)
            if given > self._most:
                raise _broken()
            try:
                self._hear(message.header)
            except (KeyError, TypeError, ValueError) as error:
                raise _broken() from error
            yield message.samples

    def _hear(self, header: Mapping[str, Any]) -> None:
        """Note the end of the file, or raise the error that ended it."""
        match header["kind"]:
            case "block":
                pass
            case "end":
                self._warnings = _warnings(header)
                self._finished = True
            case "error":
                self._finished = True
                raise _error(header)
            case other:
                raise ValueError(other)


class _Worker:
    """One process and the connection to it."""

    def __init__(self, timeout: float) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "embedsvc.audio.sandbox_worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # The MP3 decoder writes about every oddity of a file.
                stderr=subprocess.DEVNULL,
                env=_environment(),
                # An interrupt from the terminal is for the server, which ends us in its time.
                start_new_session=True,
            )
        self._connection.settimeout(_START_TIMEOUT)
        if not self._receive():
            self.stop()
            raise Unavailable("the decoder did not start; try again", retry_after_seconds=1.0)
        self._connection.settimeout(timeout)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, descriptor: int, door: Door) -> None:
        """Begin with a file; raises OSError if the process is gone."""
        header = {"policy": door.policy, "max_seconds": door.max_seconds, "strict": door.strict}
        messages.send(self._connection, header, file=descriptor)

    def answer(self) -> messages.Message:
        """The next message; AudioUndecodable if none comes."""
        message = self._receive()
        if message is None:
            raise _broken()
        return message

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _receive(self) -> messages.Message | None:
        try:
            return messages.receive(self._connection)
        except (OSError, ValueError):
            return None


def _started(timeout: float) -> _Worker:
    """A worker that is ready; raises Unavailable when none would start."""
    for _ in range(_STARTS - 1):
        with suppress(Unavailable):
            return _Worker(timeout)
    return _Worker(timeout)


def _environment() -> dict[str, str]:
    """What a worker needs to find the package, and no secrets of the server."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join([root, *filter(None, sys.path)])
    # Threads of the linear algebra library would count against the worker's memory.
    return {**inherited, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def _in_memory(data: bytes) -> Iterator[IO[bytes]]:
    with os.fdopen(os.memfd_create("audio"), "wb") as file:
        file.write(data)
        file.flush()
        yield file


def _error(header: Mapping[str, Any]) -> EmbedsvcError:
    """The error that was raised in the worker."""
    kind = getattr(errors, str(header["class"]), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.InvalidArgument)):
        return _broken()
    return kind(header["message"], field=header["field"], **header["facts"])


def _warnings(header: Mapping[str, Any]) -> tuple[AudioWarning, ...]:
    return tuple(AudioWarning(WarningCode(code), text) for code, text in header["warnings"])


def _broken() -> AudioUndecodable:
    return AudioUndecodable(
        "`audio` must be decodable, but its decoder crashed, hung or ran out of memory",
        field="audio",
    )
