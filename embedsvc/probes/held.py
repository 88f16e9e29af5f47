"""Probes in memory: those that were used last."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from embedsvc.errors import EmbedsvcError
from embedsvc.probes.probe import Probe

MOST_BYTES = 512 << 20
"""Of the numbers of all; the one in use may be more. A usual probe has 1 to 10 MB."""


@dataclass(frozen=True)
class Held:
    """What was read of a place: the probe, or why there is none."""

    stamp: tuple[int, int]
    probe: Probe | None
    error: EmbedsvcError | None

    @property
    def bytes(self) -> int:
        """What its numbers take."""
        if self.probe is None:
            return 0
        return sum(array.nbytes for array in self.probe.numbers.arrays().values())


class Memory:
    """What was read of folders. May be called from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: OrderedDict[Path, Held] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, folder: Path, stamp: tuple[int, int]) -> Held | None:
        """What is held of a folder as it is now."""
        with self._lock:
            held = self._held.get(folder)
            if held is None or held.stamp != stamp:
                return None
            self._held.move_to_end(folder)
            return held

    def put(self, folder: Path, held: Held) -> None:
        """Hold this, in place of what was used longest ago."""
        with self._lock:
            self._drop(folder)
            self._held[folder] = held
            self._bytes += held.bytes
            while self._bytes > self._most and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def forget(self, parent: Path, kept: "set[Path]") -> None:
        """Let go of what is in `parent` and not among `kept`."""
        with self._lock:
            for each in [folder for folder in self._held if folder.parent == parent]:
                if each not in kept:
                    self._drop(each)

    def _drop(self, folder: Path) -> None:
        held = self._held.pop(folder, None)
        if held is not None:
            self._bytes -= held.bytes
