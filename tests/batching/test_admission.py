import asyncio
import time

import pytest

from embedsvc.batching import Terms
from embedsvc.errors import DeadlineUnreachable, QueueFull
from embedsvc.types import Lane
from tests.batching.bench import answered, running, settle


async def test_a_lane_that_holds_enough_frames_refuses_and_says_when_to_come_back() -> None:
    async with running(queue_frames=10) as bench:
        await bench.plug()
        waiting = bench.submit(1, 8)
        await settle()
        with pytest.raises(QueueFull, match="interactive lane") as caught:
            await bench.submit(2, 3)
        assert caught.value.retry_after_seconds is not None
        assert caught.value.retry_after_seconds >= 0.1
        facts = caught.value.facts
        assert (facts["lane"], facts["queue_frames"], facts["waiting_frames"]) == (
            "interactive",
            "10",
            "8",
        )
        fits, other = bench.submit(3, 2), bench.submit(4, 10, lane=Lane.NORMAL)
        await settle()
        bench.unplug()
        assert [answered(await task) for task in (waiting, fits, other)] == [1, 3, 4]
        assert bench.batcher.stats().refused == 1


async def test_a_lane_whose_wait_is_too_long_refuses() -> None:
    async with running(queue_frames=10_000, wait_seconds=2) as bench:
        await bench.plug()
        bench.submit(1, 1000, depth=4).add_done_callback(lambda task: task.exception())
        bench.submit(2, 1500, depth=4).add_done_callback(lambda task: task.exception())
        await settle()
        with pytest.raises(QueueFull) as caught:
            await bench.submit(3)
        # Predictions are a millisecond a frame: 2.5 s wait, half a second too many.
        assert caught.value.retry_after_seconds == pytest.approx(0.5, abs=0.1)
        assert caught.value.facts["limit_seconds"] == "2"


async def test_an_empty_lane_takes_an_utterance_of_any_length() -> None:
    async with running(max_batch_frames=5, queue_frames=10) as bench:
        assert answered(await bench.submit(1, 50)) == 1


async def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    async with running(queue_frames=100_000) as bench:
        await bench.plug()
        bench.submit(1, 2000, depth=4).add_done_callback(lambda task: task.exception())
        await settle()
        with pytest.raises(DeadlineUnreachable, match="must leave 3") as caught:
            await bench.submit(2, 1000, deadline=time.monotonic() + 2.5)
        assert caught.value.retry_after_seconds == pytest.approx(0.5, abs=0.1)
        assert float(caught.value.facts["needed_seconds"]) == pytest.approx(3, abs=0.1)
        with pytest.raises(DeadlineUnreachable) as caught:
            await bench.submit(2, 1000, deadline=time.monotonic() + 0.5)
        assert caught.value.retry_after_seconds is None  # which would be so later too
        fits = bench.submit(3, 1000, deadline=time.monotonic() + 60)
        bench.unplug()
        assert answered(await fits) == 3


async def test_passes_side_by_side_take_their_time_from_each_other() -> None:
    async with running(queue_frames=100_000, wait_seconds=2, passes=2) as bench:
        await bench.plug()
        await bench.plug(7)
        long = bench.submit(1, 3500, depth=4)
        await settle()
        with pytest.raises(QueueFull) as caught:
            await bench.submit(3)
        assert float(caught.value.facts["waiting_seconds"]) == pytest.approx(3.5, abs=0.05)
        bench.unplug()
        assert answered(await long) == 1


async def test_with_nothing_before_it_a_deadline_is_tried_unless_there_is_no_hope() -> None:
    async with running(queue_frames=100_000) as bench:
        with pytest.raises(DeadlineUnreachable):
            await bench.submit(2, 10_000, depth=4, deadline=time.monotonic() + 3)
        in_time = bench.submit(1, 5000, depth=4, deadline=time.monotonic() + 3)
        assert answered(await in_time) == 1


async def test_bulk_does_not_keep_a_deadline_from_being_met() -> None:
    async with running(queue_frames=100_000) as bench:
        await bench.plug()
        bench.submit(1, 50_000, 4, lane=Lane.BULK).add_done_callback(lambda task: task.exception())
        await settle()
        in_time = bench.submit(2, 1000, deadline=time.monotonic() + 1.5)
        await settle()
        assert not in_time.done()
        bench.unplug()
        assert answered(await in_time) == 2


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


async def test_nobody_overtakes_a_patient_caller() -> None:
    async with running(queue_frames=10) as bench:
        await bench.plug()
        bench.submit(1, 8).add_done_callback(lambda task: task.exception())
        await settle()
        patient = bench.submit(2, 6, patient=True)
        await settle()
        with pytest.raises(QueueFull):
            await bench.submit(3, 1)
        bench.unplug()
        assert answered(await patient) == 2
        assert answered(await bench.submit(3, 1)) == 3


async def test_a_patient_caller_may_leave() -> None:
    async with running(queue_frames=10) as bench:
        plug = await bench.plug()
        first = bench.submit(1, 10)
        await settle()
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


async def test_who_is_let_in_and_leaves_gives_its_room_to_the_next() -> None:
    async with running(queue_frames=10) as bench:
        batcher, terms = bench.batcher, Terms(patient=True)

        async def sit(left: asyncio.Event) -> None:
            async with batcher.admitted(terms, 10):
                await left.wait()

        left = asyncio.Event()
        tasks = [asyncio.create_task(sit(left)) for _ in range(3)]
        await settle()
        tasks[0].cancel()
        tasks[0].add_done_callback(lambda _: tasks[1].cancel())  # let in by now, and unaware of it
        left.set()
        await asyncio.wait_for(tasks[2], 30)
        assert batcher.stats().lanes[Lane.INTERACTIVE].waiting_frames == 0


async def test_frames_that_were_promised_count_until_they_are_queued_or_never_come() -> None:
    async with running(queue_frames=10) as bench:
        async with bench.batcher.admitted(Terms(), 8) as ticket:
            with pytest.raises(QueueFull):
                await bench.submit(1, 3)
            ticket.expect(2)
            assert answered(await bench.submit(1, 3)) == 1
        assert bench.batcher.stats().lanes[Lane.INTERACTIVE].waiting_frames == 0


async def test_what_turns_out_longer_than_it_may_be_is_refused_then() -> None:
    async with running(queue_frames=100) as bench:
        terms = Terms(deadline=time.monotonic() + 0.5)
        with pytest.raises(DeadlineUnreachable):
            async with bench.batcher.admitted(terms, 50_000, exact=False) as ticket:
                ticket.expect(50_000)
        assert bench.batcher.stats().lanes[Lane.INTERACTIVE].waiting_frames == 0
