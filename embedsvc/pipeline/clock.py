"""Where the time of one request went."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from embedsvc.types import Timing, Window


@dataclass
class Clock:
    """The stages of one request.

    `queue` is the wait to be let in and the longest wait of any of its windows.
    """

    started: float = field(default_factory=time.perf_counter)
    decode: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    moments: float = 0.0

    async def timing(self, windows: AsyncGenerator[Window]) -> AsyncGenerator[Window]:
        """The same windows; the time until each of them counts as decoding."""
        async with aclosing(windows):
            started = time.perf_counter()
            async for window in windows:
                self.decode += time.perf_counter() - started
                yield window
                started = time.perf_counter()

    def add(self, timing: Timing) -> None:
        """One of several utterances that were embedded side by side."""
        self.decode += timing.decode
        self.queue = max(self.queue, timing.queue)
        self.compute += timing.compute

    def stop(self) -> Timing:
        """What each stage took until now."""
        total = time.perf_counter() - self.started
        return Timing(self.decode, self.queue, self.compute, total=total, moments=self.moments)
