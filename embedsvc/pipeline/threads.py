"""Work of threads, for the event loop to go through or to wait for."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Generic, TypeVar

from embedsvc.errors import Cancelled

T = TypeVar("T")

ROOM = 500
"""Items that may wait for whoever goes through them."""

Put = Callable[[T], None]


@asynccontextmanager
async def ended_apart(context: AbstractContextManager[T]) -> AsyncGenerator[T]:
    """A context whose end, which waits for the disk, is that of a thread.

    It is seen to its end even if whoever is in the block is cancelled once more.
    """
    value = context.__enter__()
    try:
        yield value
    except BaseException as error:
        ended = asyncio.to_thread(context.__exit__, type(error), error, error.__traceback__)
        await asyncio.shield(ended)
        raise
    await asyncio.shield(asyncio.to_thread(context.__exit__, None, None, None))


class Feed(Generic[T]):
    """Runs a generator in a thread; it ends soon after whoever listens has left.

    The generator may also `put` items itself, from within what it calls: progress, for example.
    """

    def __init__(self, run: Callable[[Put[T]], Iterator[T]]) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[T | BaseException | None] = asyncio.Queue(maxsize=ROOM)
        self._left = threading.Event()

    async def items(self) -> AsyncGenerator[T, None]:
        """Everything that is yielded or put, in its order; raises what the generator raises."""
        # A thread of its own: whoever listens slowly holds it, and must not hold those of others.
        working = threading.Thread(target=self._work, name="feed", daemon=True)
        working.start()
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._left.set()
            while working.is_alive():  # it may be waiting for room
                while not self._queue.empty():
                    self._queue.get_nowait()
                await asyncio.sleep(0.02)

    def _work(self) -> None:
        try:
            for item in self._run(self._put):
                self._put(item)
            self._hand(None)
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            if not self._left.is_set():
                self._hand(error)

    def _put(self, item: T) -> None:
        if self._left.is_set():
            raise Cancelled("nobody listens any more")
        self._hand(item)

    def _hand(self, item: T | BaseException | None) -> None:
        asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop).result()
