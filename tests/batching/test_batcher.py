import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.batching import Ran
from embedsvc.errors import (
    AudioExceedsDevice,
    AudioQuarantined,
    DeadlineExceeded,
    QueueFull,
    Unavailable,
)
from embedsvc.types import Lane
from tests.batching.bench import POISON, Bench, answered, running, settle, until


async def test_one_utterance_gets_its_answer_and_the_seconds_it_took() -> None:
    async with running() as bench:
        ran = await bench.submit(7, 3)
        assert answered(ran) == 7
        assert ran.encoded.frames[0].shape == (3, 160)
        assert ran.queue >= 0
        assert ran.compute > 0


async def test_what_waits_while_a_batch_runs_is_the_next_batch() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number) for number in range(1, 6)]
        await settle()
        assert bench.batcher.waiting_frames == 5
        bench.unplug()
        assert [answered(ran) for ran in await asyncio.gather(plug, *tasks)] == [0, 1, 2, 3, 4, 5]
        assert bench.encoder.batches == [[0], [1, 2, 3, 4, 5]]
        assert bench.batcher.waiting_frames == 0


async def test_one_pass_has_all_threads_until_others_run_beside_it() -> None:
    async with running(passes=2) as bench:
        one = await bench.plug()
        assert bench.encoder.shares == [1]
        two = await bench.plug(7)
        assert bench.encoder.shares == [1, 2]
        bench.unplug()
        await asyncio.gather(one, two)
        assert bench.encoder.shares == [1, 2, 1, 1]


async def test_several_passes_run_at_once_and_one_that_hangs_holds_up_no_other() -> None:
    async with running(passes=2) as bench:
        plug = await bench.plug()
        gate, bench.encoder.gate = bench.encoder.gate, threading.Event()
        bench.encoder.gate.set()
        for number in (1, 2, 3):
            assert answered(await bench.submit(number)) == number
        assert not plug.done()
        gate.set()
        assert answered(await plug) == 0


async def test_the_seconds_of_a_batch_are_shared_by_frames() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(1, 1), bench.submit(2, 3)]
        await settle()
        await asyncio.sleep(0.02)
        bench.unplug()
        short, long = await asyncio.gather(*tasks)
        assert long.compute == pytest.approx(3 * short.compute)
        assert min(short.queue, long.queue) >= 0.02
        assert (await plug).compute >= 0.02


async def test_utterances_of_one_depth_run_together_and_the_oldest_first() -> None:
    async with running() as bench:
        plug = await bench.plug()
        depths = {1: 3, 2: 1, 3: 3, 4: 2, 5: 1}
        tasks = [bench.submit(number, depth=depth) for number, depth in depths.items()]
        await settle()
        bench.unplug()
        await asyncio.gather(plug, *tasks)
        assert bench.encoder.batches == [[0], [1, 3], [2, 5], [4]]


async def test_an_utterance_whose_caller_left_is_not_encoded() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number) for number in (1, 2, 3)]
        await settle()
        tasks[1].cancel()
        await settle()
        bench.unplug()
        await asyncio.gather(plug, *tasks, return_exceptions=True)
        assert bench.encoder.batches == [[0], [1, 3]]
        assert bench.batcher.waiting_frames == 0


async def test_a_caller_who_leaves_during_its_batch_harms_nobody() -> None:
    async with running() as bench:
        plug = await bench.plug()
        plug.cancel()
        await settle()
        bench.unplug()
        assert answered(await bench.submit(1)) == 1


@pytest.mark.parametrize("place", range(5))
async def test_one_bad_utterance_fails_alone(place: int) -> None:
    numbers = [1, 2, 3, 4]
    numbers.insert(place, POISON)
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number) for number in numbers]
        await settle()
        bench.unplug()
        await plug
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[place], ArithmeticError)
        good = [answered(answer) for answer in answers if isinstance(answer, Ran)]
        assert good == [1, 2, 3, 4]
        assert bench.encoder.batches[1] == numbers
        assert [POISON] in bench.encoder.batches
        assert len(bench.encoder.batches) <= 1 + 1 + 2 * 3  # two halves at each of three depths


async def test_after_a_bad_utterance_all_goes_on() -> None:
    async with running() as bench:
        with pytest.raises(ArithmeticError):
            await bench.submit(POISON)
        assert answered(await bench.submit(1)) == 1


async def test_closing_refuses_the_companions_of_a_bad_utterance_that_would_run_again() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number) for number in (1, POISON, 2)]
        await settle()
        gate, bench.encoder.gate = bench.encoder.gate, threading.Event()
        after = bench.encoder.gate
        gate.set()
        await plug
        await until(lambda: len(bench.encoder.batches) == 2)
        closing = asyncio.create_task(bench.batcher.close())
        await settle()
        after.set()
        for task in tasks:
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(task, 30)
        await closing
        assert bench.encoder.batches == [[0], [1, POISON, 2]]


async def test_closing_refuses_who_waits_and_who_comes_but_not_the_batch_that_runs() -> None:
    async with running(queue_frames=10) as bench:
        plug = await bench.plug()
        waiting = bench.submit(1, 8)
        await settle()
        patient = bench.submit(2, 8, patient=True)
        await settle()
        closing = asyncio.create_task(bench.batcher.close())
        await settle()
        for task in (waiting, patient, bench.submit(3), bench.submit(4, patient=True)):
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(task, 30)
        bench.unplug()
        assert answered(await plug) == 0
        await closing
        assert bench.encoder.batches == [[0]]
        assert bench.batcher.waiting_frames == 0


async def test_closing_does_not_wait_for_ever_for_an_encoder_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedsvc.batching.batcher.END_SECONDS", 0.05)
    async with running() as bench:
        plug = await bench.plug()
        waiting = bench.submit(1)
        await settle()
        await asyncio.wait_for(bench.batcher.close(), 30)
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
        bench.unplug()
        assert answered(await plug) == 0


async def test_who_waits_beyond_the_deadline_is_told_and_not_encoded() -> None:
    async with running() as bench:
        plug = await bench.plug()
        deadline = time.monotonic() + 0.2
        late = bench.submit(1, deadline=deadline, patient=True)
        await until(lambda: time.monotonic() > deadline)
        bench.unplug()
        await plug
        with pytest.raises(DeadlineExceeded, match="deadline passed"):
            await late
        assert bench.encoder.batches == [[0]]
        assert bench.batcher.stats().dropped == 1


async def test_equal_audio_in_flight_shares_one_pass() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(1, 5) for _ in range(3)]
        other = bench.submit(1, 5, depth=1)
        during = bench.submit(0)
        await settle()
        tasks[0].cancel()
        await settle()
        assert bench.batcher.waiting_frames == 10
        bench.unplug()
        assert [answered(await task) for task in tasks[1:]] == [1, 1]
        assert answered(await other) == 1
        assert answered(await during) == answered(await plug) == 0
        assert sorted(bench.encoder.batches) == [[0], [1], [1]]
        assert bench.batcher.stats().shared == 3


async def test_a_shared_pass_is_dropped_when_all_who_shared_it_left() -> None:
    async with running() as bench:
        plug = await bench.plug()
        tasks = [bench.submit(1, 5) for _ in range(3)]
        await settle()
        for task in tasks[:2]:
            task.cancel()
        await settle()
        assert bench.batcher.waiting_frames == 5
        tasks[2].cancel()
        await settle()
        assert bench.batcher.waiting_frames == 0
        bench.unplug()
        await plug
        assert answered(await bench.submit(1, 5)) == 1
        assert bench.encoder.batches == [[0], [1]]


async def test_a_shared_pass_is_in_the_most_urgent_lane_of_those_who_share_it() -> None:
    async with running(max_batch_frames=1) as bench:
        plug = await bench.plug()
        others = [bench.submit(number, lane=Lane.BULK) for number in (2, 3)]
        slow = bench.submit(1, lane=Lane.BULK)
        await settle()
        fast = bench.submit(1)
        await settle()
        bench.unplug()
        await asyncio.gather(plug, slow, fast, *others)
        # The turn of the other lane came first, since this one had had utterance 0.
        assert bench.encoder.batches == [[0], [2], [1], [3]]


async def test_repeats_are_answered_from_the_cache_when_there_is_one() -> None:
    async with running(cache_bytes=2 * 5 * 160 * 4) as bench:
        first = await bench.submit(1, 5)
        again = await bench.submit(1, 5)
        assert again.encoded is first.encoded
        assert (again.queue, again.compute) == (0, 0)
        for number in (2, 3):
            await bench.submit(number, 5)
        await bench.submit(1, 5)  # which was used least recently of three
        assert bench.encoder.batches == [[1], [2], [3], [1]]
        assert bench.batcher.stats().cache_hits == 1


async def test_a_poison_is_not_tried_again() -> None:
    async with running() as bench:
        with pytest.raises(ArithmeticError):
            await bench.submit(POISON, 3)
        with pytest.raises(AudioQuarantined, match="not tried again for 600 s") as caught:
            await bench.submit(POISON, 3, depth=1)
        assert caught.value.facts == {"quarantine_seconds": "600"}
        assert bench.encoder.batches == [[POISON]]
        assert bench.batcher.stats().quarantined == 1


async def test_an_encoder_that_fails_on_everything_puts_nobody_in_quarantine() -> None:
    async with running(stall_seconds=0.5) as bench:
        bench.encoder.broken = True
        for _ in range(2):
            with pytest.raises(ArithmeticError):
                await bench.submit(1)
        assert bench.batcher.stats().quarantined == 0
        await until(lambda: bench.told == ["the encoder fails on a known clip: ArithmeticError"])
        bench.encoder.broken = False
        assert answered(await bench.submit(1)) == 1
        await until(lambda: bench.told[1:] == [""])


async def test_running_out_of_memory_makes_batches_smaller_for_a_while() -> None:
    async with running(max_batch_frames=100) as bench:
        plug = await bench.plug()
        bench.encoder.most = 30
        tasks = [bench.submit(number, 20) for number in range(1, 6)]
        await settle()
        bench.unplug()
        assert [answered(await task) for task in tasks] == [1, 2, 3, 4, 5]
        await plug
        stats = bench.batcher.stats()
        assert stats.quarantined == 0
        shrunk = stats.budget_frames
        assert shrunk < 100
        bench.encoder.most = 100
        for number in range(6, 60):
            await bench.submit(number)
        assert shrunk < bench.batcher.stats().budget_frames <= 100


async def test_an_utterance_that_alone_exceeds_the_memory_is_told_so() -> None:
    async with running() as bench:
        bench.encoder.most = 30
        for _ in range(2):
            with pytest.raises(AudioExceedsDevice, match="31 frames"):
                await bench.submit(1, 31)
        assert answered(await bench.submit(2, 30)) == 2


@dataclass(frozen=True)
class Arrival:
    """One caller: after how many turns of the loop it comes, and what it brings."""

    turns: int
    count: int
    depth: int
    lane: Lane
    patient: bool
    leaves: bool
    poison: bool


arrivals = st.lists(
    st.builds(
        Arrival,
        turns=st.integers(0, 4),
        count=st.integers(1, 14),
        depth=st.integers(0, 2),
        lane=st.sampled_from(Lane),
        patient=st.booleans(),
        leaves=st.sampled_from([False, False, False, True]),
        poison=st.sampled_from([False] * 9 + [True]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(arrivals)
def test_whoever_comes_and_goes_everyone_gets_an_own_answer(callers: list[Arrival]) -> None:
    async def session() -> None:
        async with running(max_batch_frames=10, queue_frames=30) as bench:
            tasks: list[asyncio.Task[Ran]] = []
            for number, caller in enumerate(callers):
                for _ in range(caller.turns):
                    await asyncio.sleep(0)
                mark = POISON if caller.poison else number
                lane, patient = caller.lane, caller.patient
                task = bench.submit(mark, caller.count, caller.depth, lane=lane, patient=patient)
                tasks.append(task)
                if caller.leaves:
                    await asyncio.sleep(0)
                    task.cancel()
                assert bench.batcher.waiting_frames <= 3 * 30
            answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            assert bench.batcher.waiting_frames == 0
            assert {lane.waiting_frames for lane in bench.batcher.stats().lanes.values()} == {0}
            verify(callers, answers, bench)

    asyncio.run(session())


def verify(
    callers: Sequence[Arrival], answers: Sequence[Ran | BaseException], bench: Bench
) -> None:
    for number, (caller, answer) in enumerate(zip(callers, answers, strict=True)):
        if isinstance(answer, Ran):
            assert answered(answer) == number
            assert len(answer.encoded.frames[0]) == caller.count
        elif isinstance(answer, QueueFull):
            assert not caller.patient
        elif isinstance(answer, ArithmeticError | AudioQuarantined):
            assert caller.poison
        else:
            assert isinstance(answer, asyncio.CancelledError)
            assert caller.leaves
    encoder = bench.encoder
    assert all(len(depths) == 1 for depths in encoder.depths)
    for batch, size in zip(encoder.batches, encoder.sizes, strict=True):
        assert size <= 10 or len(batch) == 1
