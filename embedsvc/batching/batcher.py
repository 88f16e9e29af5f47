"""The batcher as the rest of the service sees it: come in, hand over utterances, get answers."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sized
from contextlib import asynccontextmanager, suppress
from copy import copy

from embedsvc.batching.admission import Admission, Limits
from embedsvc.batching.cache import Cache
from embedsvc.batching.canary import Fault
from embedsvc.batching.cost import Predictor
from embedsvc.batching.engine import Dropped, Engine, Failed, Passed, Refused, Report
from embedsvc.batching.jobs import MAIN, Caller, Job, Load, Ran, Terms, depth_of
from embedsvc.batching.lanes import WEIGHTS
from embedsvc.batching.models import Machine, Model
from embedsvc.batching.quarantine import Quarantine
from embedsvc.batching.queue import Queue
from embedsvc.batching.stats import Counts, LaneStats, Stats
from embedsvc.batching.watchdog import STALL_SECONDS, Told, Watchdog
from embedsvc.errors import DeadlineExceeded, HeadUnavailable, Unavailable
from embedsvc.types import Ask, Encoded, Lane

MAIN_ONLY: Mapping[str, str] = {MAIN: ""}
"""Bodies, and the heads they hear for, of who asks for no head."""

END_SECONDS = 30.0
"""How long `close` waits for the pass that runs."""


class Batcher:
    """Utterances of all callers in front of the encoders of one machine.

    `models` are by body, that of the served model among them. Answers that were given are kept in
    `cache_bytes`. No batch that ends for `stall_seconds` is a fault.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        limits: Limits,
        machine: Machine | None = None,
        *,
        cache_bytes: int = 0,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._limits = limits
        self._predictors = {
            body: Predictor(model.cost, model.layers) for body, model in models.items()
        }
        self._queue = Queue()
        self._engine = Engine(
            models,
            machine or Machine(),
            self._queue,
            self._predictors,
            limits.batch_frames,
            self._reported,
        )
        self._admission = Admission(self._queue, self._engine, self._predictors, limits)
        self._watchdog = Watchdog(self._engine, self._queue, stall_seconds)
        self._quarantine = Quarantine()
        self._cache = Cache(cache_bytes)
        self._counts = Counts()
        self._models = models
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting_frames(self) -> int:
        """Frames in the queue, not counting the batch that runs."""
        return sum(self._queue.frames(lane) for lane in WEIGHTS)

    def start(self) -> None:
        """Serve batches, until closed, to callers of this event loop."""
        self._loop = asyncio.get_running_loop()
        self._engine.start()

    async def watch(self, tell: Told) -> None:
        """Tell of each change of health of a body, until cancelled."""
        await self._watchdog.watch(tell)

    def faults(self) -> Mapping[str, Fault]:
        """What is wrong now, by body; what keeps all from getting on is under MAIN."""
        return self._watchdog.faults(time.monotonic())

    @asynccontextmanager
    async def admitted(
        self,
        terms: Terms,
        frames: int = 0,
        *,
        exact: bool = True,
        bodies: Mapping[str, str] = MAIN_ONLY,
    ) -> AsyncIterator["Ticket"]:
        """Come in with about `frames`, on these terms; the ticket takes them one after the other.

        Each of the `bodies` is to hear them, for the head beside it. Only a number that is `exact`
        can be too much for a deadline. Raises HeadUnavailable while a body of heads is not well.
        """
        load = dict.fromkeys(bodies, frames)
        if self._queue.closed:
            raise _stopping()
        for body, head in bodies.items():
            self._check_well(body, head)
        if terms.patient:
            await self._admission.wait(terms.lane, load)
        else:
            self._admission.check(terms, load if exact else dict.fromkeys(bodies, 0))
            self._admission.promise(terms.lane, load)
        ticket = Ticket(self, self._admission, terms, load, bodies)
        try:
            yield ticket
        finally:
            ticket.close()

    async def submit(
        self,
        heard: Sized,
        ask: Ask,
        digest: bytes,
        terms: Terms,
        body: str = MAIN,
        head: str = "",
    ) -> Ran:
        """The answer for one utterance, as `body` reads it for `head`; `digest` is of both."""
        if self._queue.closed:
            raise _stopping()
        now = time.monotonic()
        self._quarantine.check(digest, now)
        kept = self._cache.get((digest, ask))
        if kept is not None:
            return Ran(kept, 0.0, 0.0)
        self._check_well(body, head)
        deadline = math.inf if terms.deadline is None else terms.deadline
        caller = Caller(asyncio.get_running_loop().create_future(), now, deadline, head)
        predictor = self._predictors[body]
        cost = predictor.share(len(heard), depth_of(ask), self._limits.batch_frames)
        job = Job(heard, ask, digest, terms.lane, now, cost, [caller], body)
        joined = self._queue.join(job)
        self._counts.shared += joined is not job
        try:
            return await caller.answer
        except asyncio.CancelledError:
            if self._queue.leave(joined):
                self._counts.dropped += 1
                self._admission.let_in()
            raise

    async def close(self) -> None:
        """Refuse everybody who waits or comes, and end the encoder's thread."""
        _refuse(self._queue.close())
        self._admission.close(_stopping)
        await asyncio.to_thread(self._engine.join, END_SECONDS)

    def stats(self) -> Stats:
        """What was done since the start, and what waits now."""
        now = time.monotonic()
        return Stats(
            lanes={lane: self._lane_stats(lane, now) for lane in WEIGHTS},
            batches=self._counts.batches,
            frames=self._counts.frames,
            padding=self._counts.padding,
            cost_error=max(each.error for each in self._predictors.values()),
            refused=self._admission.refused,
            dropped=self._counts.dropped,
            shared=self._counts.shared,
            cache_hits=self._cache.hits,
            quarantined=len(self._quarantine),
            budget_frames=self._engine.budget,
        )

    def _lane_stats(self, lane: Lane, now: float) -> LaneStats:
        oldest = self._queue.oldest(lane)
        return LaneStats(
            waiting_frames=self._admission.frames(lane),
            predicted_seconds=self._admission.seconds(lane),
            oldest_seconds=0.0 if oldest is None else now - oldest,
        )

    def _reported(self, report: Report) -> None:
        """Called from the encoder's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._settle, report)

    def _settle(self, report: Report) -> None:
        match report:
            case Passed():
                self._passed(report)
            case Failed(job, error, poisonous):
                self._queue.finish(job)
                if poisonous:
                    self._quarantine.add(job.digest, time.monotonic())
                for caller in job.callers:
                    if not caller.answer.done():
                        # Each its own: what raises an error also writes to it.
                        caller.answer.set_exception(copy(error))
            case Refused(jobs):
                self._turn_away(jobs)
            case Dropped(jobs):
                self._counts.dropped += len(jobs)
                _refuse(jobs) if self._queue.closed else _tell_late(jobs)
        self._admission.let_in()

    def _turn_away(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._queue.finish(job)
            for caller in job.callers:
                if not caller.answer.done():
                    caller.answer.set_exception(self._unwell(job.body, caller.head))

    def _check_well(self, body: str, head: str) -> None:
        if self._engine.refuses(body):
            raise self._unwell(body, head)

    def _unwell(self, body: str, head: str) -> HeadUnavailable:
        delay = self._engine.rest(body)
        return HeadUnavailable(
            f"the model of head {head!r} must be well, but is not at the moment; "
            f"try again in {delay:.1f} s",
            retry_after_seconds=delay,
            head=head,
        )

    def _passed(self, passed: Passed) -> None:
        lengths = [len(job) for job in passed.jobs]
        pace = passed.seconds / sum(lengths)
        self._counts.batches += 1
        self._counts.frames += sum(lengths)
        padded = self._models[passed.jobs[0].body].padded
        self._counts.costed += max(lengths) * len(lengths) if padded else sum(lengths)
        for job, encoded in zip(passed.jobs, passed.answers, strict=True):
            self._queue.finish(job)
            self._cache.put(job.key, encoded)
            _answer(job, encoded, passed.started, pace * len(job))


class Ticket:
    """The right of one request to hand over utterances, and what it promised to bring.

    `heads` are those that are to read what a body makes of them.
    """

    def __init__(
        self,
        batcher: Batcher,
        admission: Admission,
        terms: Terms,
        load: Load,
        heads: Mapping[str, str],
    ) -> None:
        self._batcher = batcher
        self._admission = admission
        self._terms = terms
        self._promised = dict(load)
        self._heads = heads

    def expect(self, frames: int) -> None:
        """The frames are known now; an impatient caller may be refused because of them."""
        load = dict.fromkeys(self._promised, frames)
        self._promise_all(0)
        if not self._terms.patient:
            self._admission.check(self._terms, load)
        self._promise_all(frames)

    async def submit(self, heard: Sized, ask: Ask, digest: bytes, body: str = MAIN) -> Ran:
        """The answer for one utterance, as `body` reads it; `digest` is of both."""
        self._promise(body, max(0, self._promised.get(body, 0) - len(heard)))
        head = self._heads.get(body, "")
        return await self._batcher.submit(heard, ask, digest, self._terms, body, head)

    def close(self) -> None:
        """Nothing more comes."""
        self._promise_all(0)
        self._admission.let_in()

    def _promise_all(self, frames: int) -> None:
        for body in self._promised:
            self._promise(body, frames)

    def _promise(self, body: str, frames: int) -> None:
        change = frames - self._promised.get(body, 0)
        self._admission.promise(self._terms.lane, {body: change})
        self._promised[body] = frames


def _answer(job: Job, encoded: Encoded, started: float, compute: float) -> None:
    for caller in job.callers:
        if not caller.answer.done():
            # One who joined a pass that ran did not wait for it.
            queue = max(0.0, started - caller.arrived)
            caller.answer.set_result(Ran(encoded, queue, compute))


def _refuse(jobs: Iterable[Job]) -> None:
    for job in jobs:
        for caller in job.callers:
            if not caller.answer.done():
                caller.answer.set_exception(_stopping())


def _tell_late(jobs: Iterable[Job]) -> None:
    for job in jobs:
        for caller in job.callers:
            if not caller.answer.done():
                caller.answer.set_exception(
                    DeadlineExceeded("the deadline passed before the encoder came to it")
                )


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping")
