import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from embedsvc.batching import MAIN, Machine
from embedsvc.batching.canary import IDLE, SICK, Canary, rest, wait
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
    answered,
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


def told(watchdog: Watchdog, now: float) -> str:
    return watchdog.faults(now)[MAIN].text


def answering(states: Callable[[], Floats]) -> Canary:
    def encode(frames: Sequence[Frames], asks: Sequence[Ask]) -> list[Encoded]:
        assert asks[0].keep == (0, len(frames[0]))
        return [Encoded({LAYERS: states()}, {})]

    return Canary(encode, LAYERS, CANARY)


def test_a_pass_may_take_ten_times_what_was_predicted() -> None:
    one = engine(queue := Queue())
    watchdog = Watchdog(one, queue, stall_seconds=30)
    one._running[0] = Running(started=100, predicted=7)
    assert watchdog.faults(100 + 69) == {}
    assert told(watchdog, 100 + 71) == "a batch runs for more than 70 s"
    one._running[0] = Running(started=100, predicted=0.01)
    assert watchdog.faults(129) == {}
    assert told(watchdog, 131) == "a batch runs for more than 30 s"


def test_something_that_waits_is_to_be_taken() -> None:
    one = engine(queue := Queue())
    watchdog = Watchdog(one, queue, stall_seconds=30)
    now = time.monotonic()
    one.finished = now - 1000
    assert watchdog.faults(now) == {}
    frames = utterance(1)
    queue.join(Job(frames, ask(), digest(frames), Lane.BULK, now))
    assert watchdog.faults(now + 29) == {}
    assert told(watchdog, now + 31) == "no batch began for more than 30 s"
    assert watchdog.faults(now + 31)[MAIN].since == pytest.approx(time.time() - 31, abs=1)
    one.finished = now + 10
    assert watchdog.faults(now + 31) == {}


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
    monkeypatch.setattr("embedsvc.batching.canary.REST", 0.0)
    async with running(stall_seconds=0.5) as bench:
        await until(lambda: bench.encoder.canaries > 2)
        assert bench.told == []
        bench.encoder.broken = True
        await until(lambda: bench.told == ["the encoder fails on a known clip: ArithmeticError"])
        bench.encoder.broken = False
        await until(lambda: bench.told[1:] == [""])
        assert bench.encoder.batches == []


async def test_the_canary_is_sent_while_there_is_always_work_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedsvc.batching.canary.IDLE", 1000.0)
    monkeypatch.setattr("embedsvc.batching.canary.BUSY", 0.01)
    async with running(stall_seconds=0.5) as bench:
        bench.encoder.odd = True
        async with asyncio.timeout(30):
            while not bench.told:
                await bench.submit(2)
        assert bench.told == ["the encoder's answers are not finite"]


def test_a_canary_is_well_when_it_is_answered_as_before() -> None:
    answers = iter([1.0, 1.01, 0.99])
    canary = answering(lambda: np.full((50, 2), next(answers), np.float32))
    assert [canary.fault() for _ in range(3)] == [None, None, None]


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
    assert canary.fault() is None
    found = canary.fault()
    assert found is not None
    assert found.text == fault
    assert canary.fault() is None


def test_a_canary_comes_sooner_to_an_encoder_that_is_not_well() -> None:
    assert (wait(sick=False), wait(sick=True)) == (IDLE, SICK)
    assert rest(0.001) == SICK


def test_a_slow_encoder_that_is_not_well_takes_a_tenth_of_the_time_at_most() -> None:
    assert rest(0.3) == pytest.approx(3.0)


async def test_an_encoder_is_not_well_because_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedsvc.batching.canary.IDLE", 0.01)
    monkeypatch.setattr("embedsvc.batching.canary.REST", 0.0)
    async with running() as bench:
        await until(lambda: bench.encoder.canaries > 0)
        bench.encoder.odd = True
        await until(lambda: MAIN in bench.batcher.faults())
        since = bench.batcher.faults()[MAIN].since
        for number in range(1, 20):
            assert answered(await bench.submit(number)) == number
        assert bench.batcher.faults()[MAIN].since == since
        bench.encoder.odd = False
        await until(lambda: not bench.batcher.faults())
