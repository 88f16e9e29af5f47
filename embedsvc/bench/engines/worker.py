"""The engines of one job in a process of their own, timed and weighed where they run.

A process for each job: libraries do not share thread pools, one that is idle costs nothing, and
what is resident belongs to one set of weights.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np

from embedsvc.bench.child import Child
from embedsvc.bench.device import DTYPES, Device, matrix_rate
from embedsvc.bench.engines.engine import CPU, Engine, Job, Shows
from embedsvc.bench.engines.table import LIBRARIES, convert, load
from embedsvc.encoder.config import INPUT_SIZE
from embedsvc.types import Floats

_WARM_UP = np.zeros((50, INPUT_SIZE), np.float32)
_DESCRIBE = ""


@dataclass(frozen=True)
class Arm:
    """An engine as it is seen from outside its process.

    `weights` are the bytes resident once it is loaded, beyond those of the bare process; on a GPU
    those of its tensors. `matrix_rate` are the operations a second in large products of its
    numbers, on a GPU alone; `title` is what the maker calls the device.
    """

    name: str
    library: str
    precision: str
    alone: bool
    shows: Shows
    load_seconds: float
    weights: int
    title: str = CPU
    matrix_rate: float | None = None


@dataclass(frozen=True)
class Ran:
    """One pass: its seconds, what was resident at most beyond the weights, and the states."""

    seconds: float
    peak: int
    states: list[Floats]


class Worker:
    """A process that runs the engines of a job; raises `FailedPrecondition` if it can not."""

    def __init__(self, job: Job) -> None:
        log = job.scratch / f"{job.library}-{job.precision}.log"
        if LIBRARIES[job.library].converts:
            with Child(log.with_suffix(".convert.log"), _convert, job):
                pass  # what it took is gone before anything is weighed
        self._child = Child(log, _work, job)
        try:
            self.arms: list[Arm] = self._child.ask(_DESCRIBE, ())
        except BaseException:
            self._child.close()
            raise

    def run(self, name: str, utterances: Sequence[Floats]) -> Ran:
        """One pass of the engine of that name over features (T, 160)."""
        ran: Ran = self._child.ask(name, list(utterances))
        return ran

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.close()


def _convert(job: Job) -> Callable[[], None]:
    convert(job)
    return lambda: None


def _work(job: Job) -> Callable[[str, Sequence[Floats]], object]:
    """Load, warm up, and answer; runs in the process of the worker."""
    device = Device(job.device)
    device.forget_peak()
    bare = device.held()
    started = time.perf_counter()
    engines = load(job)
    took = time.perf_counter() - started
    for engine in engines:
        engine.encode([_WARM_UP])  # touches every weight, also those of a mapped file
    device.forget_peak()
    resident = device.held()
    rate = matrix_rate(device, DTYPES[job.precision]) if device.is_gpu else None
    by_name = {engine.name: engine for engine in engines}

    def answer(name: str, utterances: Sequence[Floats]) -> object:
        if name == _DESCRIBE:
            arms = [_arm(job, engine, took, resident - bare) for engine in engines]
            return [replace(arm, title=device.title, matrix_rate=rate) for arm in arms]
        return _run(by_name[name], utterances, device, resident)

    return answer


def _arm(job: Job, engine: Engine, took: float, weights: int) -> Arm:
    return Arm(
        name=engine.name,
        library=job.library,
        precision=job.precision,
        alone=engine.alone,
        shows=engine.shows,
        load_seconds=took,
        weights=weights,
    )


def _run(engine: Engine, utterances: Sequence[Floats], device: Device, resident: int) -> Ran:
    device.forget_peak()
    device.wait()
    started = time.perf_counter()
    states = engine.encode(utterances)
    device.wait()
    seconds = time.perf_counter() - started
    return Ran(seconds, max(0, device.held(peak=True) - resident), states)
