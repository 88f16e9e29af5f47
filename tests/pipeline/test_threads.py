"""Contexts that end in a thread."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from embedsvc.pipeline.threads import ended_apart

SLOW = 0.4


@contextmanager
def slow(seen: list[str]) -> Iterator[str]:
    """A context that takes its time to end, as a folder of gigabytes does."""
    try:
        yield "inside"
    except BaseException as error:
        seen.append(type(error).__name__)
        raise
    finally:
        time.sleep(SLOW)
        seen.append("ended")


async def longest_wait(work: "asyncio.Task[None]") -> float:
    """How long the event loop did nothing else until `work` was over."""
    longest = 0.0
    while not work.done():
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - started)
    return longest


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
async def test_the_event_loop_goes_on_while_a_context_ends(
    error: type[Exception] | None,
) -> None:
    seen: list[str] = []

    async def work() -> None:
        async with ended_apart(slow(seen)) as value:
            assert value == "inside"
            if error is not None:
                raise error

    task = asyncio.create_task(work())
    assert await longest_wait(task) < SLOW / 2
    assert isinstance(task.exception(), error or type(None))
    assert seen == ([error.__name__] if error else []) + ["ended"]


async def test_whoever_is_cancelled_twice_ends_it_all_the_same() -> None:
    seen: list[str] = []

    async def work() -> None:
        async with ended_apart(slow(seen)):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(2 * SLOW)
    assert seen == ["CancelledError", "ended"]
