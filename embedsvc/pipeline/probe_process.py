"""The process that trains a probe, from its start to its end, whatever that is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

from embedsvc.errors import EmbedsvcError, Internal, kind_of
from embedsvc.operations import Progress, Tell

LOOK_SECONDS = 0.1
"""Between two looks at whether a training is to end."""

END_SECONDS = 5.0
"""Given to a process that says no more, to end by itself."""

MOST_SAID = 10_000
"""Bytes that are kept of what it says of a bug, the last ones: a trace has a page or two."""


class ProcessEnded(Exception):
    """It ended without a probe and without a reason for its caller; `said` is for the log."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"the process that trains ended with code {code}: {said or 'no word'}")
        self.code = code

    @property
    def was_killed(self) -> bool:
        """Whether the system ended it, as it does to whoever takes the most when memory is out."""
        return self.code == -signal.SIGKILL


def train_apart(folder: Path, tell: Tell) -> None:
    """Train what is in a `Workplace` in a process of its own.

    It is ended when `tell` raises. Raises what kept it from a probe, or ProcessEnded for a bug.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "embedsvc.probes.worker", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = _Tail(process.stderr)
        said.start()
        try:
            ended = _follow(process, tell)
            if not ended:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
        finally:
            process.kill()
            process.wait()
            said.join(END_SECONDS)
    if not ended:
        raise ProcessEnded(process.returncode, said.text())


def _follow(process: "subprocess.Popen[bytes]", tell: Tell) -> bool:
    """Pass progress on until the end; whether there is a probe."""
    assert process.stdout is not None
    lines: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    progress = Progress(0, 0, "starting")
    while True:
        tell(progress)
        with suppress(Empty):
            line = lines.get(timeout=LOOK_SECONDS)
            if not line:
                return False
            facts = json.loads(line)
            if "reason" in facts:
                raise _error(facts)
            if "ended" in facts:
                return True
            progress = Progress(facts["done"], facts["total"], facts["what"])


class _Tail(Thread):
    """Reads a pipe to its end, so that it is never full, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="tail", daemon=True)
        self._pipe = pipe
        self._kept = b""

    def run(self) -> None:
        while chunk := os.read(self._pipe.fileno(), MOST_SAID):
            self._kept = (self._kept + chunk)[-MOST_SAID:]

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()


def _read(pipe: IO[bytes], lines: "SimpleQueue[bytes]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")


def _error(facts: Mapping[str, Any]) -> EmbedsvcError:
    kind = kind_of(facts["reason"]) or Internal
    return kind(facts["message"], field=facts["field"])
