"""The threads of all encoders: one batch after the other in each, and what to do when one fails.

A batch that fails is halved until the one utterance at fault stands alone. Whether it is at fault
the canary says, a clip whose answer is known: if its body fails on that too, nobody else is.
What waits for the body of other heads is then refused, until its canary is well again. Memory is
nobody's fault: when it runs out, the batch is halved and later ones are smaller.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from embedsvc.batching import canary
from embedsvc.batching.canary import Canary, Fault
from embedsvc.batching.cost import Predictor
from embedsvc.batching.forming import MIN_AGE, Rule
from embedsvc.batching.jobs import MAIN, Job, depth_of
from embedsvc.batching.models import Machine, Model
from embedsvc.batching.queue import Queue
from embedsvc.errors import AudioExceedsDevice
from embedsvc.types import Encoded

SHRINK = 0.8
GROW = 1.01
MIN_BUDGET = 50


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


@dataclass(frozen=True)
class Refused:
    """Jobs that are not tried, since their body is not well."""

    jobs: list[Job]


Report = Passed | Failed | Dropped | Refused


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
    """Takes batches from a queue until it is closed; tells `report` about each, from a thread.

    `models` and `predictors` are by body. Every thread serves all of them.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        machine: Machine,
        queue: Queue,
        predictors: Mapping[str, Predictor],
        budget: int,
        report: Callable[[Report], None],
    ) -> None:
        self._models = models
        self._machine = machine
        self._queue = queue
        self._predictors = predictors
        self._most = budget
        self._report = report
        self._canaries = {
            body: Canary(model.encode, model.layers, model.sound(canary.LENGTH))
            for body, model in models.items()
        }
        self._faults: dict[str, Fault] = {}
        self._tried = dict.fromkeys(models, time.monotonic() - canary.IDLE)
        self._last_seconds = 0.0
        self._lock = threading.Lock()
        self._running: dict[int, Running] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"encoder-{number}", daemon=True)
            for number in range(machine.passes)
        ]
        self.passes = machine.passes
        self.budget = budget
        self.finished = time.monotonic()

    def start(self) -> None:
        """Begin to take batches."""
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> list[Running]:
        """The passes that run now."""
        with self._lock:
            return list(self._running.values())

    @property
    def faults(self) -> dict[str, Fault]:
        """What is wrong with encoders that are not well, by body."""
        with self._lock:
            return dict(self._faults)

    def refuses(self, body: str) -> bool:
        """Whether a body is not well and answers nobody; the served model is always tried."""
        return body != MAIN and body in self._faults

    def rest(self, body: str) -> float:
        """Seconds from one canary of a body that is not well to the next."""
        return canary.rest(self._canary_base(body) * self._predictors[body].scale)

    def join(self, timeout: float) -> None:
        """Wait for the end of the passes that run; if one hangs, no longer than `timeout`."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def rule(self, body: str = MAIN) -> Rule:
        """What the next batch of a body may be."""
        age = max(MIN_AGE, 2 * self._last_seconds)
        model = self._models[body]
        return Rule(self.budget, model.padded, model.cost.knee, age)

    def _serve(self) -> None:
        while not self._queue.closed:
            wait = canary.wait(sick=bool(self._faults))
            taken = self._queue.take(self.rule, self._charge, wait)
            if taken.dropped:
                self._report(Dropped(taken.dropped))
            if taken.jobs:
                self._run(taken.jobs)
            self._try_canaries(idle=not taken.jobs and not taken.dropped)

    def _charge(self, job: Job) -> float:
        return 0.0 if self.refuses(job.body) else job.cost * self._predictors[job.body].scale

    def _run(self, jobs: list[Job]) -> None:
        body = jobs[0].body
        if self.refuses(body):
            self._report(Refused(jobs))
            return
        predictor = self._predictors[body]
        base = predictor.base(
            self.rule(body).costed([len(job) for job in jobs]), max(job.depth for job in jobs)
        )
        self._began(base * predictor.scale)
        try:
            answers = self._encode(jobs)
        except Exception as error:  # noqa: BLE001  # any failure is the jobs' answer, not the thread's end
            self._ended()
            self._fail(jobs, error)
            return
        over = self._ended()
        with self._lock:
            predictor.learn(base, over.seconds / over.passes)
            self._last_seconds = over.seconds
            self.budget = min(self._most, int(self.budget * GROW) + 1)
        self._report(Passed(jobs, answers, over.started, over.seconds))

    def _encode(self, jobs: list[Job]) -> list[Encoded]:
        encode = self._models[jobs[0].body].encode
        answers = encode([job.heard for job in jobs], [job.ask for job in jobs])
        if len(answers) != len(jobs):
            raise ValueError(f"{len(jobs)} `jobs` must not have {len(answers)} answers")
        return list(answers)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        memory = self._machine.out_of_memory(error)
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
            well = self._try_canary(jobs[0].body, error)
            if self.refuses(jobs[0].body):
                self._report(Refused(jobs))
            else:
                self._report(Failed(jobs[0], error, poisonous=well))

    def _again(self, jobs: list[Job]) -> None:
        taken = self._queue.still_wanted([] if self._queue.closed else jobs)
        refused = jobs if self._queue.closed else taken.dropped
        if refused:
            self._report(Dropped(refused))
        if taken.jobs:
            self._run(taken.jobs)

    def _try_canaries(self, *, idle: bool) -> None:
        """Send those that are due: to a body that is well seldom while others wait."""
        for body in self._models:
            if self._queue.closed:
                return
            well = canary.IDLE if idle and not self._queue.waiting else canary.BUSY
            pause = self.rest(body) if body in self._faults else well
            if time.monotonic() - self._tried[body] >= pause:
                self._try_canary(body)

    def _try_canary(self, body: str, met: Exception | None = None) -> bool:
        """Whether a body is well, of which an error was `met`: its other answers do not tell."""
        self._tried[body] = time.monotonic()
        base, predictor = self._canary_base(body), self._predictors[body]
        self._began(base * predictor.scale)
        fault = self._canaries[body].fault()
        over = self._ended()
        with self._lock:
            if fault:
                self._faults.setdefault(body, replace(fault, error=fault.error or met))
            else:
                self._faults.pop(body, None)
                predictor.learn(base, over.seconds / over.passes)
        return not fault

    def _canary_base(self, body: str) -> float:
        one = self._canaries[body]
        return self._predictors[body].base([len(one.clip)], depth_of(one.ask))

    def _began(self, seconds: float) -> None:
        """A pass begins that would take so long alone."""
        with self._lock:
            passes = len(self._running) + 1
            ran = Running(time.monotonic(), seconds * passes, passes)
            self._running[threading.get_ident()] = ran
            self._machine.share(passes)

    def _ended(self) -> "_Over":
        now = time.monotonic()
        with self._lock:
            ran = self._running.pop(threading.get_ident())
            passes = len(self._running) + 1
            self._machine.share(max(1, len(self._running)))
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
