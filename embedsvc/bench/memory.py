"""What a process has in memory and has used of the processors, as Linux counts it."""

import ctypes
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SELF = "self"
_FORGET_PEAK = "5"
"""Written to clear_refs, it sets the highest resident size to that of now; see proc(5)."""


def resident_bytes(pid: int | str = SELF, *, peak: bool = False) -> int:
    """Resident now, or at most since the peak was last forgotten; 0 of one that has ended."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended
    lines = (line for line in status.splitlines() if line.startswith(wanted))
    return next((int(line.split()[1]) * 1024 for line in lines), 0)


def forget_peak() -> None:
    """Let the peak of this process count from now, with what is free given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads since it began."""
    # What stands before the last bracket is a name, which may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Samples the resident size of a process for the length of a block.

    `samples` are (seconds since the begin, bytes), the first and the last at the ends.
    """

    def __init__(self, pid: int, every: float = 0.25) -> None:
        self.samples: list[tuple[float, int]] = []
        self._pid = pid
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory-watch", daemon=True)
        self._begin = 0.0

    def __enter__(self) -> Self:
        self._begin = time.perf_counter()
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if error is None:
            self._sample()

    def _look(self) -> None:
        while not self._over.wait(self._every):
            self._sample()

    def _sample(self) -> None:
        self.samples.append((time.perf_counter() - self._begin, resident_bytes(self._pid)))
