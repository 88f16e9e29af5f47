"""Who may wait: decided before any work is done for a caller, in predicted seconds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embedsvc.batching.cost import TYPICAL, Predictor
from embedsvc.batching.engine import Engine
from embedsvc.batching.jobs import Load, Terms
from embedsvc.batching.lanes import WEIGHTS, ahead
from embedsvc.batching.queue import Queue
from embedsvc.errors import DeadlineUnreachable, EmbedsvcError, QueueFull, Unavailable
from embedsvc.types import Lane

SHORTEST_DELAY = 0.1
"""Seconds: nobody is told to come back sooner."""

DOUBT = 2.0
"""With nothing before it, a deadline is tried unless the prediction is off by more than this."""


@dataclass(frozen=True)
class Limits:
    """`batch_frames` bounds one batch; `queue_frames` and `wait_seconds` what waits in a lane."""

    batch_frames: int
    queue_frames: int
    wait_seconds: Mapping[Lane, float]


@dataclass(eq=False)
class _Waiter:
    load: Load
    let_in: "asyncio.Future[None]"


class Admission:
    """Counts what each lane was promised: frames that were let in and are not queued yet.

    To be used from the event loop alone.
    """

    def __init__(
        self,
        queue: Queue,
        engine: Engine,
        predictors: Mapping[str, Predictor],
        limits: Limits,
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._predictors = predictors
        self._limits = limits
        self._promised = {lane: dict.fromkeys(predictors, 0) for lane in WEIGHTS}
        self._patient: dict[Lane, deque[_Waiter]] = {lane: deque() for lane in WEIGHTS}
        self.refused = 0

    def promise(self, lane: Lane, load: Load) -> None:
        """Change by `load` what will still come into a lane."""
        for body, frames in load.items():
            self._promised[lane][body] += frames

    def check(self, terms: Terms, load: Load) -> None:
        """Raise QueueFull or DeadlineUnreachable when `load` may not join now."""
        try:
            self._check_room(terms.lane, _total(load))
            self._check_time(terms, load)
        except EmbedsvcError:
            self.refused += 1
            raise

    async def wait(self, lane: Lane, load: Load) -> None:
        """Return when a lane has room for `load`, which is then promised to it."""
        line = self._patient[lane]
        if not line and self._has_room(lane, load):
            self.promise(lane, load)
            return
        waiter = _Waiter(load, asyncio.get_running_loop().create_future())
        line.append(waiter)
        try:
            await waiter.let_in
        except asyncio.CancelledError:
            if waiter in line:
                line.remove(waiter)
            elif not waiter.let_in.cancelled():
                self.promise(lane, {body: -frames for body, frames in load.items()})
            self.let_in()
            raise

    def let_in(self) -> None:
        """Let in who waits for room, now that there may be some."""
        for lane, line in self._patient.items():
            while line and self._has_room(lane, line[0].load):
                waiter = line.popleft()
                if not waiter.let_in.done():
                    self.promise(lane, waiter.load)
                    waiter.let_in.set_result(None)

    def close(self, refusal: Callable[[], Unavailable]) -> None:
        """Refuse everybody who waits for room."""
        for line in self._patient.values():
            for waiter in line:
                if not waiter.let_in.done():
                    waiter.let_in.set_exception(refusal())
            line.clear()

    def frames(self, lane: Lane) -> int:
        """Frames that wait in a lane or were let into it."""
        return self._queue.frames(lane) + _total(self._promised[lane])

    def seconds(self, lane: Lane) -> float:
        """What they are predicted to take."""
        costs = self._queue.costs(lane)
        queued = sum(cost * self._predictors[body].scale for body, cost in costs.items())
        return queued + self._long(self._promised[lane])

    def _long(self, load: Load) -> float:
        """What it is predicted to take, each frame by the body that is to hear it."""
        return sum(
            predictor.long(load[body], self._limits.batch_frames) * predictor.scale
            for body, predictor in self._predictors.items()
            if load.get(body)
        )

    def _has_room(self, lane: Lane, load: Load) -> bool:
        if not self.frames(lane):
            return True  # so that no single utterance waits for ever
        within = self.frames(lane) + _total(load) <= self._limits.queue_frames
        return within and self._wait(lane) <= self._limits.wait_seconds[lane]

    def _wait(self, lane: Lane, own: float = 0.0) -> float:
        """Seconds until `own` more seconds of a lane would be done."""
        now = time.monotonic()
        # Passes side by side take their time from each other.
        left = sum(running.left(now) / running.passes for running in self._engine.running)
        backlog = {each: self.seconds(each) for each in WEIGHTS}
        return left + ahead(backlog, lane, own)

    def _needed(self, lane: Lane, load: Load) -> float:
        """Seconds until `load` that joins a lane would be done.

        The last window has the passes of others beside it, unless there are none.
        """
        own = self._long(load)
        window = self._long({body: min(frames, TYPICAL) for body, frames in load.items()})
        wait = self._wait(lane)
        passes = self._engine.passes if wait else 1
        return max(self._wait(lane, own), wait + window * passes)

    def _check_room(self, lane: Lane, frames: int) -> None:
        # Who came before and waits to be let in is not overtaken.
        line = sum(_total(waiter.load) for waiter in self._patient[lane])
        waiting, limit = self.frames(lane) + line, self._limits.queue_frames
        if not waiting:
            return
        wait, most = self._wait(lane), self._limits.wait_seconds[lane]
        if waiting + frames > limit:
            delay = max(SHORTEST_DELAY, wait * min(1.0, (waiting + frames - limit) / waiting))
        elif wait > most:
            delay = max(SHORTEST_DELAY, wait - most)
        else:
            return
        raise QueueFull(
            f"the {lane} lane must hold at most {limit} frames and {most:g} s of work, but has "
            f"{waiting} frames and {wait:.1f} s; try again in {delay:.1f} s",
            retry_after_seconds=delay,
            lane=lane,
            queue_frames=limit,
            waiting_frames=waiting,
            limit_seconds=most,
            waiting_seconds=round(wait, 3),
        )

    def _check_time(self, terms: Terms, load: Load) -> None:
        if terms.deadline is None:
            return
        left = terms.deadline - time.monotonic()
        wait, needed = self._wait(terms.lane), self._needed(terms.lane, load)
        if needed <= left or (not wait and needed <= DOUBT * left):
            return
        # Later there may be less before it; what takes too long alone always will.
        delay = max(SHORTEST_DELAY, needed - left) if needed - wait <= left else None
        raise DeadlineUnreachable(
            f"the deadline must leave {needed:.2f} s, but leaves {max(left, 0.0):.2f} s"
            + (f"; try again in {delay:.1f} s" if delay else ""),
            retry_after_seconds=delay,
            lane=terms.lane,
            needed_seconds=round(needed, 3),
            left_seconds=round(left, 3),
        )


def _total(load: Load) -> int:
    """Frames, whoever hears them: they wait in the same memory."""
    return sum(load.values())
