import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from embedsvc.batching import MAIN, Machine
from embedsvc.batching.canary import IDLE, SICK, Canary, wait
from embedsvc.batching.cost import Predictor
from embedsvc.batching.engine import Engine, Running
from embedsvc.batching.jobs import Job
from embedsvc.batching.queue import Queue
from embedsvc.batching.watchdog import Watchdog
from embedsvc.types import Ask, Encoded, Floats, Frames, Lane
from tests.batching.bench import (
    CANARY,
    COST,
    LAYERS,
    Encoder,
    ask,
    digest,
    model,
    running,
    until,
    utterance,
)


def engine(queue: Queue) -> Engine:
    """An engine that is never started."""
    models, predictors = {MAIN: model(Encoder())}, {MAIN: Predictor(COST, LAYERS)}
    return Engine(models, Machine(), queue, predictors, 100, lambda report: None)


def answering(states: Callable[[], Floats]) -> Canary:
    def encode(frames: Sequence[Frames], asks: Sequence[Ask]) -> list[Encoded]:
        assert asks[0].keep == (0, len(frames[0]))
        return [Encoded({LAYERS: states()}, {})]

    return Canary(encode, LAYERS, CANARY)


def test_a_pass_may_take_ten_times_what_was_predicted() -> None:
    one = engine(queue := Queue())
    watchdog = Watchdog(one, queue, stall_seconds=30)
    one._running[0] = Running(started=100, predicted=7)
    assert watchdog.fault(100 + 69) == ""
    assert watchdog.fault(100 + 71) == "a batch runs for more than 70 s"
    one._running[0] = Running(started=100, predicted=0.01)
    assert watchdog.fault(129) == ""
    assert watchdog.fault(131) == "a batch runs for more than 30 s"


def test_something_that_waits_is_to_be_taken() -> None:
    one = engine(queue := Queue())
    watchdog = Watchdog(one, queue, stall_seconds=30)
    now = time.monotonic()
    one.finished = now - 1000
    assert watchdog.fault(now) == ""
    frames = utterance(1)
    queue.join(Job(frames, ask(), digest(frames), Lane.BULK, now))
    assert watchdog.fault(now + 29) == ""
    assert watchdog.fault(now + 31) == "no batch began for more than 30 s"
    one.finished = now + 10
    assert watchdog.fault(now + 31) == ""


async def test_a_hang_is_told_once_and_its_end_too() -> None:
    async with running(stall_seconds=0.1) as bench:
        plug = await bench.plug()
        await until(lambda: len(bench.told) == 1)
        assert "a batch runs for more than" in bench.told[0]
        bench.unplug()
        await plug
        await until(lambda: len(bench.told) == 2)
        assert bench.told[1] == ""


async def test_the_canary_is_sent_when_nothing_else_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedsvc.batching.canary.IDLE", 0.01)
    monkeypatch.setattr("embedsvc.batching.canary.SICK", 0.01)
    async with running(stall_seconds=0.5) as bench:
        await until(lambda: bench.encoder.canaries > 2)
        assert bench.told == []
        bench.encoder.broken = True
        await until(lambda: bench.told == ["the encoder fails on a known clip: ArithmeticError"])
        bench.encoder.broken = False
        await until(lambda: bench.told[1:] == [""])
        assert bench.encoder.batches == []


def test_a_canary_is_well_when_it_is_answered_as_before() -> None:
    answers = iter([1.0, 1.01, 0.99])
    canary = answering(lambda: np.full((50, 2), next(answers), np.float32))
    assert [canary.fault() for _ in range(3)] == ["", "", ""]


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (np.nan, "the encoder's answers are not finite"),
        (2.0, "the encoder answers a known clip differently than before"),
    ],
)
def test_a_canary_that_is_answered_otherwise_tells(second: float, fault: str) -> None:
    answers = iter([1.0, second, 1.0])
    canary = answering(lambda: np.full((50, 2), next(answers), np.float32))
    assert [canary.fault() for _ in range(3)] == ["", fault, ""]


def test_a_canary_comes_sooner_to_an_encoder_that_is_not_well() -> None:
    assert (wait(""), wait("ill")) == (IDLE, SICK)
