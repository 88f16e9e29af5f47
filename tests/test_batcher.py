import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.batcher import Batcher, Ran
from embedsvc.errors import QueueFull, Unavailable
from embedsvc.types import Ask, Encoded, Frames

POISON = -1


def utterance(number: int, count: int = 1) -> Frames:
    """Frames that say whose they are."""
    return Frames(np.full((count, 160), number, np.float32))


def number_of(frames: Frames) -> int:
    return int(frames.features[0, 0])


def answered(ran: Ran) -> int:
    return int(ran.encoded.frames[0][0, 0])


def ask(depth: int = 0) -> Ask:
    return Ask(tuple(range(depth + 1)))


class Encoder:
    """Answers with what it was given; waits at its gate, and fails on a poison."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.depths: list[set[int]] = []
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def __call__(self, frames: Sequence[Frames], asks: Sequence[Ask]) -> list[Encoded]:
        self.batches.append([number_of(one) for one in frames])
        self.depths.append({max(one.layers) for one in asks})
        self.sizes.append(sum(map(len, frames)))
        self.began.set()
        assert self.gate.wait(30)
        if POISON in self.batches[-1]:
            raise ArithmeticError("poison")
        return [Encoded({0: one.features}, {}) for one in frames]


@dataclass
class Bench:
    """A batcher that runs, and its encoder."""

    batcher: Batcher
    encoder: Encoder

    def submit(
        self, number: int, count: int = 1, depth: int = 0, *, patient: bool = False
    ) -> "asyncio.Task[Ran]":
        submission = self.batcher.submit(utterance(number, count), ask(depth), patient=patient)
        return asyncio.create_task(submission)

    async def plug(self) -> "asyncio.Task[Ran]":
        """Keep the encoder busy with utterance 0 until the gate is opened."""
        self.encoder.gate.clear()
        task = self.submit(0)
        await asyncio.to_thread(self.encoder.began.wait, 30)
        return task

    def unplug(self) -> None:
        self.encoder.gate.set()


@asynccontextmanager
async def running(max_batch_frames: int = 100, queue_frames: int = 1000) -> AsyncIterator[Bench]:
    encoder = Encoder()
    batcher = Batcher(encoder, max_batch_frames=max_batch_frames, queue_frames=queue_frames)
    served = asyncio.create_task(batcher.run())
    try:
        yield Bench(batcher, encoder)
    finally:
        encoder.gate.set()
        await batcher.close()
        served.cancel()
        await asyncio.gather(served, return_exceptions=True)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


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


async def test_a_batch_holds_no_more_frames_than_allowed() -> None:
    async with running(max_batch_frames=10) as bench:
        plug = await bench.plug()
        sizes = {1: 4, 2: 6, 3: 1, 4: 25, 5: 9, 6: 2}
        tasks = [bench.submit(number, size) for number, size in sizes.items()]
        await settle()
        bench.unplug()
        await asyncio.gather(plug, *tasks)
        assert bench.encoder.batches == [[0], [1, 2], [3], [4], [5], [6]]


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


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async with running(queue_frames=10) as bench:
        await bench.plug()
        waiting = bench.submit(1, 8)
        await settle()
        with pytest.raises(QueueFull) as caught:
            await bench.submit(2, 3)
        assert caught.value.retry_after_seconds is not None
        assert caught.value.retry_after_seconds >= 0.1
        assert caught.value.facts == {"queue_frames": "10", "waiting_frames": "8"}
        fits = bench.submit(3, 2)
        await settle()
        bench.unplug()
        assert [answered(await waiting), answered(await fits)] == [1, 3]


async def test_the_delay_grows_with_what_waits() -> None:
    async with running(queue_frames=1000) as bench:
        bench.encoder.gate.clear()
        first = bench.submit(0)
        await asyncio.to_thread(bench.encoder.began.wait, 30)
        await asyncio.sleep(0.05)
        bench.unplug()
        await first  # one frame in 0.05 s or more
        await bench.plug()
        bench.submit(1, 900).add_done_callback(lambda task: task.exception())
        await settle()
        with pytest.raises(QueueFull) as caught:
            await bench.submit(2, 101)
        assert caught.value.retry_after_seconds is not None
        assert caught.value.retry_after_seconds > 0.04 * 900 / 2


async def test_an_empty_queue_takes_an_utterance_of_any_length() -> None:
    async with running(max_batch_frames=5, queue_frames=10) as bench:
        assert answered(await bench.submit(1, 50)) == 1


async def test_patient_callers_wait_for_room_and_come_in_order() -> None:
    async with running(max_batch_frames=10, queue_frames=10) as bench:
        plug = await bench.plug()
        tasks = [bench.submit(number, 6, patient=True) for number in (1, 2, 3)]
        await settle()
        assert bench.batcher.waiting_frames == 6
        bench.unplug()
        answers = await asyncio.wait_for(asyncio.gather(plug, *tasks), 30)
        assert [answered(ran) for ran in answers] == [0, 1, 2, 3]
        assert bench.encoder.batches == [[0], [1], [2], [3]]


async def test_a_patient_caller_may_leave() -> None:
    async with running(queue_frames=10) as bench:
        plug = await bench.plug()
        first = bench.submit(1, 10)
        leaving = bench.submit(2, 10, patient=True)
        staying = bench.submit(3, 10, patient=True)
        await settle()
        leaving.cancel()
        await settle()
        bench.unplug()
        assert answered(await first) == 1
        assert answered(await staying) == 3
        await plug
        assert bench.encoder.batches == [[0], [1], [3]]


async def test_closing_refuses_who_waits_and_who_comes_but_not_the_batch_that_runs() -> None:
    async with running(queue_frames=10) as bench:
        plug = await bench.plug()
        waiting = bench.submit(1, 8)
        patient = bench.submit(2, 8, patient=True)
        await settle()
        closing = asyncio.create_task(bench.batcher.close())
        for task in (waiting, patient, bench.submit(3), bench.submit(4, patient=True)):
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(task, 30)
        bench.unplug()
        assert answered(await plug) == 0
        await closing
        assert bench.encoder.batches == [[0]]
        assert bench.batcher.waiting_frames == 0


async def test_closing_refuses_the_companions_of_a_bad_utterance_that_would_run_again() -> None:
    async with running() as bench:
        bench.encoder.gate.clear()
        tasks = [bench.submit(number) for number in (1, POISON, 2)]
        await asyncio.to_thread(bench.encoder.began.wait, 30)
        closing = asyncio.create_task(bench.batcher.close())
        await settle()
        bench.unplug()
        for task in tasks:
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(task, 30)
        await closing
        assert bench.encoder.batches == [[1, POISON, 2]]


@dataclass(frozen=True)
class Arrival:
    """One caller: after how many turns of the loop it comes, and what it brings."""

    turns: int
    count: int
    depth: int
    patient: bool
    leaves: bool
    poison: bool


arrivals = st.lists(
    st.builds(
        Arrival,
        turns=st.integers(0, 4),
        count=st.integers(1, 14),
        depth=st.integers(0, 2),
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
                task = bench.submit(mark, caller.count, caller.depth, patient=caller.patient)
                tasks.append(task)
                if caller.leaves:
                    await asyncio.sleep(0)
                    task.cancel()
                assert bench.batcher.waiting_frames <= 30
            answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            # Comes after all of its depth, so that those who left are out of the queue too.
            await asyncio.gather(*(bench.submit(99, 1, depth, patient=True) for depth in range(3)))
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
        elif isinstance(answer, ArithmeticError):
            assert caller.poison
        else:
            assert isinstance(answer, asyncio.CancelledError)
            assert caller.leaves
    encoder = bench.encoder
    assert all(len(depths) == 1 for depths in encoder.depths)
    for batch, size in zip(encoder.batches, encoder.sizes, strict=True):
        assert size <= 10 or len(batch) == 1
        known = [number for number in batch if number in range(len(callers))]
        in_line = [number for number in known if not callers[number].patient]
        assert in_line == sorted(in_line)
