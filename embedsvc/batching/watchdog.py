"""Whether the encoder gets on: what health goes by, for a process may live and do nothing."""

import asyncio
import time
from collections.abc import Callable

from embedsvc.batching.engine import Engine
from embedsvc.batching.lanes import WEIGHTS
from embedsvc.batching.queue import Queue

FACTOR = 10.0
"""Times its predicted seconds that a pass may take."""

TICKS = 20
"""Looks in the time after which no progress is a fault."""


class Watchdog:
    """Finds a fault when no batch ends for `stall_seconds`, or the canary is not answered."""

    def __init__(self, engine: Engine, queue: Queue, stall_seconds: float) -> None:
        self._engine = engine
        self._queue = queue
        self._stall_seconds = stall_seconds

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Tell each change: a fault, or nothing when all is well again."""
        told = ""
        while True:
            await asyncio.sleep(min(1.0, self._stall_seconds / TICKS))
            fault = self.fault(time.monotonic())
            if bool(fault) != bool(told):
                tell(fault)
            told = fault

    def fault(self, now: float) -> str:
        """What is wrong now, or nothing."""
        running = self._engine.running
        for each in running:
            limit = max(self._stall_seconds, FACTOR * each.predicted)
            if now - each.started > limit:
                return f"a batch runs for more than {limit:.0f} s"
        if running:
            return self._engine.fault
        arrived = [self._queue.oldest(lane) for lane in WEIGHTS]
        oldest = min((at for at in arrived if at is not None), default=now)
        if now - max(oldest, self._engine.finished) > self._stall_seconds:
            return f"no batch began for more than {self._stall_seconds:.0f} s"
        return self._engine.fault
