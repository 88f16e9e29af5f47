"""Gathers concurrent utterances into batches and runs them one batch at a time.

A batch is whatever waited while the last one ran, up to a number of frames: there is no timer.
The unit of cost, and of the queue's limit, is the frame.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from embedsvc.errors import QueueFull, Unavailable
from embedsvc.types import Ask, Encoded, Frames

Encode = Callable[[Sequence[Frames], Sequence[Ask]], Sequence[Encoded]]


@dataclass(frozen=True)
class Ran:
    """An answer of the encoder, with the seconds it waited and its share of its batch's seconds."""

    encoded: Encoded
    queue: float
    compute: float


@dataclass(eq=False)
class _Job:
    frames: Frames
    ask: Ask
    result: "asyncio.Future[Ran]"
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def depth(self) -> int:
        return max(self.ask.layers, default=0)


class Batcher:
    """A bounded queue in front of one encoder.

    `max_batch_frames` bounds the memory of one pass, `queue_frames` what may wait.
    """

    def __init__(self, encode: Encode, *, max_batch_frames: int, queue_frames: int) -> None:
        self._encode = encode
        self._max_batch_frames = max_batch_frames
        self._queue_frames = queue_frames
        self._waiting: deque[_Job] = deque()
        self._waiting_frames = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Condition()
        self._seconds_per_frame = 0.0
        self._closed = False
        # One thread: the encoder uses all cores for one batch at a time.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")

    @property
    def waiting_frames(self) -> int:
        """Frames in the queue, not counting the batch that runs."""
        return self._waiting_frames

    async def submit(self, frames: Frames, ask: Ask, *, patient: bool = False) -> Ran:
        """Queue one utterance and wait for its answer.

        When the queue is full, QueueFull says after how many seconds to try again; a `patient`
        caller waits for room instead, which slows the sender of an upload down.
        """
        if patient:
            async with self._room:
                await self._room.wait_for(lambda: self._closed or self._fits(frames))
        if self._closed:
            raise _stopping()
        if not self._fits(frames):
            raise self._full()
        job = _Job(frames, ask, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._waiting_frames += len(frames)
        self._arrived.set()
        return await job.result

    async def run(self) -> None:
        """Serve batches until cancelled."""
        while True:
            await self._arrived.wait()
            jobs = self._take()
            async with self._room:
                self._room.notify_all()
            if jobs:
                await self._run(jobs)
            else:
                self._arrived.clear()

    async def close(self) -> None:
        """Refuse everybody who waits or comes, and end the encoder's thread."""
        self._closed = True
        _refuse(self._waiting)
        self._waiting.clear()
        self._waiting_frames = 0
        async with self._room:
            self._room.notify_all()
        await asyncio.to_thread(self._thread.shutdown)

    def _fits(self, frames: Frames) -> bool:
        # An empty queue takes anything, so that no single utterance is refused for ever.
        return not self._waiting or self._waiting_frames + len(frames) <= self._queue_frames

    def _full(self) -> QueueFull:
        delay = max(0.1, self._seconds_per_frame * self._waiting_frames / 2)
        return QueueFull(
            f"the queue must hold at most {self._queue_frames} frames, and holds "
            f"{self._waiting_frames}; try again in {delay:.1f} s",
            retry_after_seconds=delay,
            queue_frames=self._queue_frames,
            waiting_frames=self._waiting_frames,
        )

    def _take(self) -> list[_Job]:
        """The next batch: the oldest job and others of its depth, while the frames last."""
        jobs: list[_Job] = []
        later: deque[_Job] = deque()
        frames = 0
        while self._waiting:
            job = self._waiting.popleft()
            if job.result.done():  # its caller left
                self._waiting_frames -= len(job.frames)
                continue
            if jobs and job.depth != jobs[0].depth:
                later.append(job)
                continue
            if jobs and frames + len(job.frames) > self._max_batch_frames:
                later.append(job)
                break
            jobs.append(job)
            frames += len(job.frames)
            self._waiting_frames -= len(job.frames)
        self._waiting.extendleft(reversed(later))
        return jobs

    async def _run(self, jobs: list[_Job]) -> None:
        """One pass; if it fails, halve it until the one utterance at fault stands alone."""
        loop = asyncio.get_running_loop()
        frames, asks = [job.frames for job in jobs], [job.ask for job in jobs]
        started = time.perf_counter()
        try:
            answers = await loop.run_in_executor(self._thread, self._encode, frames, asks)
            pairs = list(zip(jobs, answers, strict=True))
        except Exception as error:  # noqa: BLE001  # any failure is the jobs' answer, not the loop's end
            await self._fail(jobs, error)
            return
        pace = (time.perf_counter() - started) / max(1, sum(map(len, frames)))
        self._learn(pace)
        for job, encoded in pairs:
            if not job.result.done():
                ran = Ran(encoded, started - job.arrived, pace * len(job.frames))
                job.result.set_result(ran)

    async def _fail(self, jobs: list[_Job], error: Exception) -> None:
        if self._closed:
            _refuse(jobs)
        elif len(jobs) > 1:
            middle = len(jobs) // 2
            await self._run(jobs[:middle])
            await self._run(jobs[middle:])
        elif not jobs[0].result.done():
            jobs[0].result.set_exception(error)

    def _learn(self, seconds_per_frame: float) -> None:
        known = self._seconds_per_frame or seconds_per_frame
        self._seconds_per_frame = 0.9 * known + 0.1 * seconds_per_frame


def _refuse(jobs: Iterable[_Job]) -> None:
    for job in jobs:
        if not job.result.done():
            job.result.set_exception(_stopping())


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping")
