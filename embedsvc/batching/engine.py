"""The encoder's threads: one batch after the other in each, and what to do when one fails.

A batch that fails is halved until the one utterance at fault stands alone. Whether it is at fault
the canary says, a clip whose answer is known: if the encoder fails on that too, nobody else is.
Memory is nobody's fault: when it runs out, the batch is halved and later ones are smaller.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embedsvc.batching.canary import Canary
from embedsvc.batching.cost import Predictor
from embedsvc.batching.forming import MIN_AGE, Rule
from embedsvc.batching.jobs import Job, depth_of
from embedsvc.batching.queue import Queue
from embedsvc.errors import AudioExceedsDevice
from embedsvc.types import Ask, Encoded, Frames

Encode = Callable[[Sequence[Frames], Sequence[Ask]], Sequence[Encoded]]

SHRINK = 0.8
GROW = 1.01
MIN_BUDGET = 50


@dataclass(frozen=True)
class Model:
    """What the batcher needs to know of an encoder.

    Up to `passes` run at once; `share` is told how many, whenever that changes, so that they share
    the cores and one alone has all. `padded` says whether an utterance costs as much as the longest
    beside it, `out_of_memory` whether an error of `encode` was one of memory.
    """

    encode: Encode
    layers: int
    padded: bool = False
    passes: int = 1
    share: Callable[[int], None] = lambda _: None
    out_of_memory: Callable[[Exception], bool] = lambda error: isinstance(error, MemoryError)


@dataclass(frozen=True)
class Passed:
    """A pass is over: one answer for each job."""

    jobs: list[Job]
    answers: list[Encoded]
    started: float
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A job that failed alone; `poisonous` when the encoder is well on everything else."""

    job: Job
    error: Exception
    poisonous: bool


@dataclass(frozen=True)
class Dropped:
    """Jobs that nobody waited for any more; some callers may not know yet that they are late."""

    jobs: list[Job]


Report = Passed | Failed | Dropped


@dataclass(frozen=True)
class Running:
    """A pass that runs, since when, and how long it was predicted to take among so many."""

    started: float
    predicted: float
    passes: int = 1

    def left(self, now: float) -> float:
        """Seconds until it should be over."""
        return max(0.0, self.started + self.predicted - now)


class Engine:
    """Takes batches from a queue until it is closed; tells `report` about each, from a thread."""

    def __init__(
        self,
        model: Model,
        queue: Queue,
        predictor: Predictor,
        budget: int,
        report: Callable[[Report], None],
    ) -> None:
        self._model = model
        self._queue = queue
        self._predictor = predictor
        self._most = budget
        self._report = report
        self._canary = Canary(model.encode, model.layers)
        self._last_seconds = 0.0
        self._lock = threading.Lock()
        self._running: dict[int, Running] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"encoder-{number}", daemon=True)
            for number in range(model.passes)
        ]
        self.passes = model.passes
        self.budget = budget
        self.finished = time.monotonic()
        self.fault = ""

    def start(self) -> None:
        """Begin to take batches."""
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> list[Running]:
        """The passes that run now."""
        with self._lock:
            return list(self._running.values())

    def join(self, timeout: float) -> None:
        """Wait for the end of the passes that run; if one hangs, no longer than `timeout`."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def rule(self) -> Rule:
        """What the next batch may be."""
        age = max(MIN_AGE, 2 * self._last_seconds)
        return Rule(self.budget, self._model.padded, self._predictor.cost.knee, age)

    def _serve(self) -> None:
        while not self._queue.closed:
            taken = self._queue.take(self.rule, self._charge, self._canary.wait(self.fault))
            if taken.dropped:
                self._report(Dropped(taken.dropped))
            if taken.jobs:
                self._run(taken.jobs)
            elif not taken.dropped and not self._queue.closed:
                self._try_canary()

    def _charge(self, job: Job) -> float:
        return job.cost * self._predictor.scale

    def _run(self, jobs: list[Job]) -> None:
        base = self._predictor.base(
            self.rule().costed([len(job) for job in jobs]), max(job.depth for job in jobs)
        )
        self._began(base)
        try:
            answers = self._encode(jobs)
        except Exception as error:  # noqa: BLE001  # any failure is the jobs' answer, not the thread's end
            self._ended()
            self._fail(jobs, error)
            return
        over = self._ended()
        with self._lock:
            self._predictor.learn(base, over.seconds / over.passes)
            self._last_seconds = over.seconds
            self.budget = min(self._most, int(self.budget * GROW) + 1)
            self.fault = ""
        self._report(Passed(jobs, answers, over.started, over.seconds))

    def _encode(self, jobs: list[Job]) -> list[Encoded]:
        answers = self._model.encode([job.frames for job in jobs], [job.ask for job in jobs])
        if len(answers) != len(jobs):
            raise ValueError(f"{len(jobs)} `jobs` must not have {len(answers)} answers")
        return list(answers)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        memory = self._model.out_of_memory(error)
        if memory:
            with self._lock:
                self.budget = max(MIN_BUDGET, int(self.budget * SHRINK))
        if len(jobs) > 1:
            middle = len(jobs) // 2
            self._again(jobs[:middle])
            self._again(jobs[middle:])
        elif memory:
            self._report(Failed(jobs[0], _too_large(jobs[0], error), poisonous=False))
        else:
            self._try_canary()
            self._report(Failed(jobs[0], error, poisonous=not self.fault))

    def _again(self, jobs: list[Job]) -> None:
        taken = self._queue.still_wanted([] if self._queue.closed else jobs)
        refused = jobs if self._queue.closed else taken.dropped
        if refused:
            self._report(Dropped(refused))
        if taken.jobs:
            self._run(taken.jobs)

    def _try_canary(self) -> None:
        base = self._predictor.base([len(self._canary.frames)], depth_of(self._canary.ask))
        self._began(base)
        fault = self._canary.fault()
        over = self._ended()
        with self._lock:
            self.fault = fault
            if not fault:
                self._predictor.learn(base, over.seconds / over.passes)

    def _began(self, base: float) -> None:
        with self._lock:
            passes = len(self._running) + 1
            predicted = base * self._predictor.scale * passes
            self._running[threading.get_ident()] = Running(time.monotonic(), predicted, passes)
            self._model.share(passes)

    def _ended(self) -> "_Over":
        now = time.monotonic()
        with self._lock:
            ran = self._running.pop(threading.get_ident())
            passes = len(self._running) + 1
            self._model.share(max(1, len(self._running)))
            self.finished = now
        return _Over(ran.started, now - ran.started, (ran.passes + passes) / 2)


@dataclass(frozen=True)
class _Over:
    """When a pass began, what it took, and among how many it ran on average."""

    started: float
    seconds: float
    passes: float


def _too_large(job: Job, error: Exception) -> AudioExceedsDevice:
    refusal = AudioExceedsDevice(
        f"`audio` must fit the memory beside the model, but {len(job)} frames at once do not; "
        "a shorter windowing needs less",
        field="audio",
        frames=len(job),
    )
    refusal.__cause__ = error
    return refusal
