"""Several encoders behind one queue: none mixes with another, and all share time and room."""

import asyncio
import time

import pytest

from embedsvc.batching import MAIN, Ran, Stats, Terms
from embedsvc.batching.cost import Predictor
from embedsvc.errors import AudioQuarantined, DeadlineUnreachable, HeadUnavailable, QueueFull
from embedsvc.types import Lane
from tests.batching.bench import (
    OTHER,
    POISON,
    answered,
    ask,
    digest,
    running,
    settle,
    until,
    utterance,
)


async def test_a_batch_is_of_one_body_and_the_oldest_is_first() -> None:
    async with running() as bench:
        plug = await bench.plug()
        numbers = {1: OTHER, 2: MAIN, 3: OTHER, 4: MAIN}
        tasks = [bench.submit(number, body=body) for number, body in numbers.items()]
        await settle()
        bench.other.batches = bench.encoder.batches
        bench.unplug()
        await plug
        assert [answered(ran) for ran in await asyncio.gather(*tasks)] == [1, 2, 3, 4]
        assert bench.encoder.batches == [[0], [1, 3], [2, 4]]


@pytest.mark.parametrize("padded", [False, True])
async def test_every_body_answers_its_own_however_many_wait(padded: bool) -> None:
    async with running(max_batch_frames=7, padded=padded, passes=2) as bench:
        asked = {
            number: bench.submit(number, 1 + number % 5, body=MAIN if number % 3 else OTHER)
            for number in range(1, 60)
        }
        for number, task in asked.items():
            assert answered(await task) == number
        heard = [number for batch in bench.other.batches for number in batch]
        assert sorted(heard) == list(range(3, 60, 3))


async def test_what_waits_costs_what_its_body_costs() -> None:
    async with running(queue_frames=100_000, wait_seconds=2) as bench:
        await bench.plug()
        for number, body in ((1, MAIN), (2, OTHER)):
            task = bench.submit(number, 200, depth=4, body=body)
            task.add_done_callback(lambda task: task.exception())
        await settle()
        lane = bench.batcher.stats().lanes[Lane.INTERACTIVE]
        assert lane.predicted_seconds == pytest.approx(0.2 + 2.0)
        with pytest.raises(QueueFull):
            await bench.submit(3)


async def test_a_deadline_is_met_by_one_body_and_not_by_a_slower_one() -> None:
    async with running(queue_frames=100_000) as bench:
        await bench.plug()
        soon = time.monotonic() + 5
        with pytest.raises(DeadlineUnreachable):
            await bench.submit(1, 1000, deadline=soon, body=OTHER)
        fits = bench.submit(2, 1000, deadline=soon)
        await settle()
        bench.unplug()
        assert answered(await fits) == 2


async def test_lanes_pay_for_the_seconds_of_the_body_they_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # These encoders take no time at all, which would soon be learned.
    monkeypatch.setattr(Predictor, "learn", lambda *_: None)
    async with running(max_batch_frames=100, queue_frames=100_000) as bench:
        plug = await bench.plug()
        bench.other.batches = bench.encoder.batches
        tasks = []
        for number in range(1, 31):
            tasks.append(bench.submit(number, 100, 4, lane=Lane.NORMAL, body=OTHER))
            tasks.append(bench.submit(100 + number, 100, 4, lane=Lane.BULK))
        await settle()
        bench.unplug()
        await asyncio.gather(plug, *tasks)
        first = [number for (number,) in bench.encoder.batches[1:15]]
    # Ten times as long for four times the weight.
    assert sum(number > 100 for number in first) == pytest.approx(10, abs=1)


async def test_who_asks_two_bodies_is_promised_room_for_both() -> None:
    async with running(queue_frames=100) as bench:
        bodies = {MAIN: "", OTHER: "english"}
        async with bench.batcher.admitted(Terms(), 8, bodies=bodies) as ticket:
            assert waiting(bench.batcher.stats()) == 16
            ticket.expect(5)
            assert waiting(bench.batcher.stats()) == 10
            frames = utterance(1, 5)
            ran = await ticket.submit(frames, ask(), digest(frames), OTHER)
            assert answered(ran) == 1
            assert waiting(bench.batcher.stats()) == 5
        assert waiting(bench.batcher.stats()) == 0


def waiting(stats: Stats) -> int:
    return stats.lanes[Lane.INTERACTIVE].waiting_frames


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Canaries come one after the other."""
    monkeypatch.setattr("embedsvc.batching.canary.IDLE", 0.01)
    monkeypatch.setattr("embedsvc.batching.canary.SICK", 0.01)
    monkeypatch.setattr("embedsvc.batching.canary.REST", 0.0)


@pytest.mark.usefixtures("quick")
async def test_a_sick_body_is_told_by_name_and_harms_no_other() -> None:
    async with running(stall_seconds=0.5) as bench:
        bench.other.broken = True
        with pytest.raises(HeadUnavailable, match="the model of head 'other' must be well"):
            await bench.submit(1, body=OTHER)
        fault = "other: the encoder fails on a known clip: ArithmeticError"
        await until(lambda: bench.told == [fault])
        error = bench.batcher.faults()[OTHER].error
        assert isinstance(error, ArithmeticError), "for the log"
        assert answered(await bench.submit(2)) == 2
        assert bench.batcher.stats().quarantined == 0, "it was not the audio"
        bench.other.broken = False
        await until(lambda: bench.told == [fault, "other: "])
        assert answered(await bench.submit(1, body=OTHER)) == 1


async def test_what_was_met_before_a_canary_that_fails_is_kept_for_the_log() -> None:
    async with running() as bench:
        bench.other.odd = True
        with pytest.raises(HeadUnavailable):
            await bench.submit(POISON, body=OTHER)
        fault = bench.batcher.faults()[OTHER]
        assert fault.text == "the encoder's answers are not finite"
        assert isinstance(fault.error, ArithmeticError)
        assert bench.batcher.stats().quarantined == 0


async def test_who_asks_a_sick_body_is_refused_at_once_and_told_when_to_come_back() -> None:
    async with running() as bench:
        bench.other.broken = True
        with pytest.raises(HeadUnavailable):
            await bench.submit(1, body=OTHER)
        plug = await bench.plug()
        for patient in (False, True):
            with pytest.raises(HeadUnavailable) as caught:
                await bench.submit(2, body=OTHER, patient=patient)
            assert caught.value.facts == {"head": "other"}
            assert 1 <= (caught.value.retry_after_seconds or 0) <= 10
        assert bench.other.batches == [[1]]
        assert (waiting(bench.batcher.stats()), bench.batcher.stats().refused) == (0, 0)
        bench.unplug()
        assert answered(await plug) == 0


async def test_what_waits_for_a_body_that_falls_ill_is_refused_without_a_pass() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number, body=OTHER) for number in range(1, 9)]
        alone = bench.submit(9, 93, body=OTHER, lane=Lane.BULK)  # in a batch of its own
        well = bench.submit(10)
        await settle()
        bench.other.broken = True
        bench.unplug()
        ended = await asyncio.gather(*tasks, alone, return_exceptions=True)
        assert {type(each) for each in ended} == {HeadUnavailable}
        assert answered(await well) == 10
        assert answered(await plug) == 0
        # All, half of them, half of those, and the first.
        assert [len(batch) for batch in bench.other.batches] == [8, 4, 2, 1]


async def test_a_body_that_falls_ill_ends_what_came_in_before() -> None:
    async with running() as bench:
        bodies = {OTHER: "english"}
        async with bench.batcher.admitted(Terms(), 2, bodies=bodies) as ticket:
            one, two = utterance(1), utterance(2)
            assert answered(await ticket.submit(one, ask(), digest(one), OTHER)) == 1
            bench.other.broken = True
            with pytest.raises(HeadUnavailable, match="head 'other'"):
                await bench.submit(3, body=OTHER)
            with pytest.raises(HeadUnavailable, match="head 'english'"):
                await ticket.submit(two, ask(), digest(two), OTHER)
        assert waiting(bench.batcher.stats()) == 0


async def test_what_a_sick_body_refuses_costs_its_lane_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Predictor, "learn", lambda *_: None)
    async with running(max_batch_frames=100, queue_frames=100_000) as bench:
        plug = await bench.plug()
        sick = [bench.submit(number, 100, body=OTHER, lane=Lane.NORMAL) for number in range(1, 6)]
        tasks = [
            bench.submit(number, 100, lane=lane)
            for lane, numbers in [(Lane.NORMAL, (11, 12)), (Lane.BULK, range(21, 30))]
            for number in numbers
        ]
        await settle()
        bench.other.broken = True
        bench.unplug()
        await asyncio.gather(plug, *tasks, *sick, return_exceptions=True)
        # One was tried, and costs as much as ten of the other body for a fourth of the weight.
        assert bench.encoder.batches[:5] == [[0], [21], [22], [23], [11]]


async def test_a_body_that_recovers_is_told_even_while_another_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedsvc.batching.canary.wait", lambda **_: 30.0)
    monkeypatch.setattr("embedsvc.batching.canary.SICK", 0.01)
    monkeypatch.setattr("embedsvc.batching.canary.REST", 0.0)
    async with running(stall_seconds=0.5) as bench:
        bench.other.broken = True
        with pytest.raises(HeadUnavailable):
            await bench.submit(1, body=OTHER)
        await until(lambda: len(bench.told) == 1)
        bench.other.broken = False
        async with asyncio.timeout(30):
            while len(bench.told) == 1:
                await bench.submit(2)
        assert answered(await bench.submit(3, body=OTHER)) == 3


async def test_what_one_body_cannot_take_another_may() -> None:
    async with running() as bench:
        with pytest.raises(ArithmeticError):
            await bench.submit(POISON, body=OTHER)
        with pytest.raises(AudioQuarantined):
            await bench.submit(POISON, body=OTHER)
        with pytest.raises(ArithmeticError):  # and not AudioQuarantined: it is tried
            await bench.submit(POISON)


async def test_who_leaves_a_body_leaves_no_work_there() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number, body=OTHER) for number in (1, 2)]
        await settle()
        tasks[0].cancel()
        await settle()
        bench.unplug()
        ran = await tasks[1]
        assert isinstance(ran, Ran)
        await plug
        assert bench.other.batches == [[2]]
