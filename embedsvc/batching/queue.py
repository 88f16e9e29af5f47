"""Where the event loop and the encoder's thread meet: jobs come in, batches go out.

The thread takes its next batch itself, the moment the last one ended, so that the encoder never
waits for a turn of the loop; and a caller who leaves is dropped until that moment.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from embedsvc.batching.forming import Rule, form
from embedsvc.batching.jobs import Job, Key
from embedsvc.batching.lanes import WEIGHTS, Turns
from embedsvc.types import Lane

REACH = 256
"""Jobs of a lane, the oldest, that are looked at for one batch: bounds the time it takes."""


@dataclass(frozen=True)
class Taken:
    """A batch to run, and the jobs that nobody waits for any more.

    Both may be empty: then nothing came for as long as the thread was ready to wait.
    """

    jobs: list[Job]
    dropped: list[Job]


class Queue:
    """Jobs by lane, in the order they came, and those that run; safe for threads.

    A batch is of one body: that of the oldest in the lane whose turn it is.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[Lane, dict[Job, None]] = {lane: {} for lane in WEIGHTS}
        self._known: dict[Key, Job] = {}
        self._frames = dict.fromkeys(WEIGHTS, 0)
        self._costs: dict[Lane, dict[str, float]] = {lane: {} for lane in WEIGHTS}
        self._turns = Turns()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing comes in any more."""
        return self._closed

    @property
    def waiting(self) -> bool:
        """Whether something is to be taken."""
        with self._changed:
            return any(self._lines.values())

    def frames(self, lane: Lane) -> int:
        """Frames that wait in a lane."""
        return self._frames[lane]

    def costs(self, lane: Lane) -> Mapping[str, float]:
        """What they are predicted to take of each body, before scaling."""
        return dict(self._costs[lane])

    def oldest(self, lane: Lane) -> float | None:
        """When the oldest job of a lane came."""
        with self._changed:
            return min((job.arrived for job in self._lines[lane]), default=None)

    def join(self, job: Job) -> Job:
        """Put a job in its lane; or one that waits or runs for the same, with its callers added.

        The urgent of two lanes is the lane of both.
        """
        with self._changed:
            same = self._known.get(job.key)
            if same is None:
                self._known[job.key] = job
                self._insert(job)
                self._changed.notify()
                return job
            same.callers += job.callers
            if same in self._lines[same.lane] and WEIGHTS[job.lane] > WEIGHTS[same.lane]:
                self._remove(same)
                same.lane = job.lane
                self._insert(same)
            return same

    def leave(self, job: Job) -> bool:
        """Take a job out that waits and that nobody wants; False when it is none."""
        with self._changed:
            if job.wanted(time.monotonic()) or job not in self._lines[job.lane]:
                return False
            self._remove(job)
            del self._known[job.key]
            return True

    def take(
        self, rule: Callable[[str], Rule], charge: Callable[[Job], float], wait: float
    ) -> Taken:
        """The next batch, as soon as there is one, after at most `wait` seconds.

        `rule` says of a body what its next batch may be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._lines.values()), wait)
            dropped: list[Job] = []
            jobs: list[Job] = []
            while not jobs and any(self._lines.values()):
                jobs = self._form(rule, dropped)
            for job in jobs:
                self._remove(job)
                self._turns.charge(job.lane, charge(job))
            return Taken(jobs, dropped)

    def still_wanted(self, jobs: Iterable[Job]) -> Taken:
        """Of jobs that were taken, those that somebody still waits for."""
        taken = Taken([], [])
        now = time.monotonic()
        with self._changed:
            for job in jobs:
                if job.wanted(now):
                    taken.jobs.append(job)
                else:
                    taken.dropped.append(job)
                    self._forget(job)
        return taken

    def finish(self, job: Job) -> None:
        """A job has its answer; whoever asks for the same from now on asks anew."""
        with self._changed:
            self._forget(job)

    def close(self) -> list[Job]:
        """Let nothing in any more; the jobs that waited."""
        with self._changed:
            self._closed = True
            waiting = [job for line in self._lines.values() for job in line]
            for job in waiting:
                self._remove(job)
                self._forget(job)
            self._changed.notify_all()
        return waiting

    def _form(self, rule: Callable[[str], Rule], dropped: list[Job]) -> list[Job]:
        now = time.monotonic()
        lane = self._turns.next([lane for lane, line in self._lines.items() if line])
        line = list(self._live(lane, dropped, now))
        if not line:
            return []
        body = line[0].body
        others = (
            job
            for other in WEIGHTS
            if other is not lane
            for job in self._live(other, dropped, now)
            if job.body == body
        )
        return form([job for job in line if job.body == body], others, rule(body), now)

    def _live(self, lane: Lane, dropped: list[Job], now: float) -> Iterator[Job]:
        """The oldest jobs of a lane that somebody waits for; the others go."""
        for job in list(islice(self._lines[lane], REACH)):
            if job.wanted(now):
                yield job
            else:
                self._remove(job)
                self._forget(job)
                dropped.append(job)

    def _insert(self, job: Job) -> None:
        if not self._lines[job.lane]:
            self._turns.wake(job.lane)
        self._lines[job.lane][job] = None
        self._frames[job.lane] += len(job)
        costs = self._costs[job.lane]
        costs[job.body] = costs.get(job.body, 0.0) + job.cost

    def _remove(self, job: Job) -> None:
        del self._lines[job.lane][job]
        self._frames[job.lane] -= len(job)
        self._costs[job.lane][job.body] -= job.cost
        if not self._lines[job.lane]:
            self._costs[job.lane] = {}  # and not what rounding left

    def _forget(self, job: Job) -> None:
        if self._known.get(job.key) is job:
            del self._known[job.key]
