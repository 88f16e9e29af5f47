"""Whether the encoder gets on: what health goes by, for a process may live and do nothing."""

import asyncio
import time
from collections.abc import Callable, Mapping

from embedsvc.batching.canary import Fault
from embedsvc.batching.engine import Engine
from embedsvc.batching.jobs import MAIN
from embedsvc.batching.lanes import WEIGHTS
from embedsvc.batching.queue import Queue

STALL_SECONDS = 30.0
"""Without a batch that ends, while something waits: a fault, unless it is said otherwise."""

FACTOR = 10.0
"""Times its predicted seconds that a pass may take."""

TICKS = 20
"""Looks in the time after which no progress is a fault."""


Told = Callable[[str, Fault | None], None]
"""Told of a body that it has a fault, or none any more."""


class Watchdog:
    """Finds a fault when no batch ends for `stall_seconds`, or a canary is not answered.

    A pass that does not end is a fault of the served model, whichever body it is of: the thread it
    keeps is one that all bodies share, and only a new process gives it back.
    """

    def __init__(self, engine: Engine, queue: Queue, stall_seconds: float) -> None:
        self._engine = engine
        self._queue = queue
        self._stall_seconds = stall_seconds

    async def watch(self, tell: Told) -> None:
        """Tell each change, until cancelled."""
        told: Mapping[str, Fault] = {}
        while True:
            await asyncio.sleep(min(1.0, self._stall_seconds / TICKS))
            faults = self.faults(time.monotonic())
            for body in told.keys() ^ faults.keys():
                tell(body, faults.get(body))
            told = faults

    def faults(self, now: float) -> Mapping[str, Fault]:
        """What is wrong now, by body."""
        stall = self._stall(now)
        return self._engine.faults | ({MAIN: stall} if stall else {})

    def _stall(self, now: float) -> Fault | None:
        running = self._engine.running
        for each in running:
            limit = max(self._stall_seconds, FACTOR * each.predicted)
            if now - each.started > limit:
                return _fault(f"a batch runs for more than {limit:.0f} s", now - each.started)
        if running:
            return None
        arrived = [self._queue.oldest(lane) for lane in WEIGHTS]
        oldest = min((at for at in arrived if at is not None), default=now)
        idle = now - max(oldest, self._engine.finished)
        if idle > self._stall_seconds:
            return _fault(f"no batch began for more than {self._stall_seconds:.0f} s", idle)
        return None


def _fault(text: str, age: float) -> Fault:
    return Fault(text, time.time() - age)
