"""Runs operations, those of a lane one after the other, and knows about each."""

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedsvc.errors import (
    Cancelled,
    EmbedsvcError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    OperationNotFound,
    OperationRunning,
    QueueFull,
)
from embedsvc.operations.keeper import Keeper
from embedsvc.operations.operation import Operation, Progress, Tell, to_bytes

Work = Callable[[Mapping[str, Any], Tell], Awaitable[Mapping[str, Any]]]
"""From what was asked to what came of it, both as JSON.

It must be safe to begin again from the start, since it is when the process ended in between.
"""


@dataclass(frozen=True)
class Kind:
    """A kind of work. Operations of one `lane` run one after the other, those of two at once.

    A `patient` one goes on where it was, and so may be begun any number of times: it gives up by
    itself.
    """

    work: Work
    lane: str = ""
    patient: bool = False


MOST_KEPT = 1_000
"""Operations that are over and can still be asked for."""

MOST_BYTES = 1 << 20
"""Of what is kept of an operation, in memory too, when it is begun."""

Fault = Callable[[str, BaseException], None]
"""Told of a bug in the work of an operation."""

Over = Callable[[Operation], None]
"""Told of each operation that is over, in a thread, before anybody who waits for it."""

MOST_WAITING = 16
"""Not over, or still being sent: what they work on may be gigabytes on disk."""

RETRY_SECONDS = 30.0
"""After which there may be room again: operations are seconds to hours."""

MAX_STARTS = 3
"""Begun so often without an end, an operation is what ends the process, and is given up."""


class Operations:
    """The operations of one data directory. To be used from one event loop.

    `start` brings back those of before and goes on with what was not over. `over` is told of each
    end, and `gone` of each that is forgotten. At most `most` are not over at a time.
    """

    def __init__(
        self,
        directory: Path,
        kinds: Mapping[str, Kind],
        fault: Fault,
        over: Over = lambda _: None,
        gone: Over = lambda _: None,
        most: int = MOST_WAITING,
    ) -> None:
        self._keeper = Keeper(directory)
        self._kinds = kinds
        self._fault = fault
        self._told_over = over
        self._told_gone = gone
        self._most = most
        self._sent = 0
        self._known: dict[str, Operation] = {}
        self._cancelled: set[str] = set()
        self._over: dict[str, asyncio.Event] = {}
        lanes = {"", *(kind.lane for kind in kinds.values())}
        self._lanes: dict[str, asyncio.Queue[str]] = {lane: asyncio.Queue() for lane in lanes}
        self._workers: list[asyncio.Task[None]] = []
        self._running: set[str] = set()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Bring back what is kept, and begin to work."""
        for operation in self._keeper.all(time.time()):
            self._known[operation.id] = operation
            if not operation.done:
                self._enqueue(operation)
        self._workers = [asyncio.create_task(self._work(each)) for each in self._lanes.values()]

    async def stop(self) -> None:
        """Interrupt the work in hand; it begins again with the next `start`."""
        self._stopping.set()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    @contextmanager
    def place(self, target: str = "") -> Iterator[None]:
        """Keep a place while what is to be worked on is sent; `submit` follows at once.

        Raises OperationRunning as that does, and QueueFull.
        """
        self.check_free(target)
        self._check_room()
        self._sent += 1
        try:
            yield
        finally:
            self._sent -= 1

    async def submit(self, kind: str, target: str, request: Mapping[str, Any]) -> Operation:
        """Have work done; raises OperationRunning while the same target is worked on.

        Raises QueueFull when too much is not over, and InvalidArgument for a request that is too
        large to keep.
        """
        self.check_free(target)
        self._check_room()
        now = time.time()
        operation = Operation(secrets.token_hex(16), kind, target, request, now, now)
        size = len(to_bytes(operation))
        if size > MOST_BYTES:
            raise InvalidArgument(
                f"the request must be at most {MOST_BYTES} bytes as it is kept, but has {size}",
                max_bytes=MOST_BYTES,
            )
        self._known[operation.id] = operation
        keeping = asyncio.create_task(asyncio.to_thread(self._keeper.keep, operation))
        try:
            await asyncio.shield(keeping)
        except BaseException:
            del self._known[operation.id]
            # A caller who left is not waited for by the thread, which would keep it for a restart.
            await asyncio.wait({keeping})
            with suppress(OSError):
                await asyncio.to_thread(self._keeper.forget, operation.id)
            raise
        self._enqueue(operation)
        return operation

    def check_free(self, target: str) -> None:
        """Raise OperationRunning while `target` is worked on."""
        for other in self._known.values():
            if other.target == target and not other.done:
                raise OperationRunning(
                    f"`{target}` must not be worked on, but operations/{other.id} is not over",
                    operation=f"operations/{other.id}",
                )

    def get(self, id: str) -> Operation:  # the field's name
        """An operation as it is now; raises OperationNotFound."""
        operation = self._known.get(id)
        if operation is None:
            raise OperationNotFound(
                f"`name` must be of an operation, but operations/{id[:80]} does not exist",
                field="name",
                name=f"operations/{id[:80]}",
            )
        return operation

    def list(self) -> Sequence[Operation]:
        """All that are known, the oldest first."""
        return tuple(self._known.values())

    async def wait(self, id: str, seconds: float | None = None) -> Operation:
        """The operation when it is over, or as it is after `seconds`."""
        self.get(id)
        if id in self._over:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over[id].wait(), seconds)
        return self.get(id)

    async def cancel(self, id: str) -> None:
        """Have an operation end soon, with Cancelled; nothing for one that is over."""
        operation = self.get(id)
        if operation.done:
            return
        self._cancelled.add(id)
        if id not in self._running:  # the worker will pass it by
            await self._finish(replace(operation, error=_cancelled()))

    async def delete(self, id: str) -> None:
        """Forget an operation that is over; raises FailedPrecondition for another."""
        if not self.get(id).done:
            raise FailedPrecondition(
                f"`name` must be of an operation that is over, but operations/{id} is not",
                field="name",
            )
        await self.wait(id)  # until its end is kept, and told of
        await self._forget(self._known[id])

    def _check_room(self) -> None:
        count = self._sent + sum(not each.done for each in self._known.values())
        if count >= self._most:
            raise QueueFull(
                f"at most {self._most} operations may wait or run, and {count} do; try again "
                "later, or cancel one",
                retry_after_seconds=RETRY_SECONDS,
                max_operations=self._most,
            )

    def _enqueue(self, operation: Operation) -> None:
        self._over[operation.id] = asyncio.Event()
        kind = self._kinds.get(operation.kind)
        self._lanes["" if kind is None else kind.lane].put_nowait(operation.id)

    async def _work(self, waiting: "asyncio.Queue[str]") -> None:
        while True:
            id = await waiting.get()
            operation = self._known.get(id)
            if operation is not None and not operation.done:
                await self._run(operation)

    async def _run(self, operation: Operation) -> None:
        self._running.add(operation.id)
        begun = replace(operation, starts=operation.starts + 1)
        try:
            await self._changed(begun)
            result = await self._result(begun)
        except asyncio.CancelledError:
            # Stopped in order, so that it is not what ended the process.
            with suppress(EmbedsvcError, OSError):
                self._keeper.keep(operation)
            raise
        except EmbedsvcError as error:
            await self._finish(replace(self._known[operation.id], error=error))
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
            self._fault(f"operations/{operation.id}", error)
            await self._finish(replace(self._known[operation.id], error=Internal("internal error")))
        else:
            await self._finish(replace(self._known[operation.id], result=dict(result)))
        finally:
            self._running.discard(operation.id)

    async def _result(self, operation: Operation) -> Mapping[str, Any]:
        kind = self._kinds.get(operation.kind)
        if kind is None:
            raise FailedPrecondition(f"this version does no {operation.kind!r}")
        if operation.starts > MAX_STARTS and not kind.patient:
            raise Internal(f"was begun {MAX_STARTS} times, and the server ended each time")
        return await kind.work(operation.request, self._tell(operation.id))

    def _tell(self, id: str) -> Tell:
        """Progress is kept in memory alone: after a restart there is none."""

        def tell(progress: Progress) -> None:
            if id in self._cancelled or self._stopping.is_set():
                raise _cancelled()
            now = time.time()
            self._known[id] = replace(self._known[id], progress=progress, updated_at=now)

        return tell

    async def _changed(self, operation: Operation) -> None:
        changed = replace(operation, updated_at=time.time())
        self._known[operation.id] = changed
        await asyncio.to_thread(self._keeper.keep, changed)

    async def _finish(self, operation: Operation) -> None:
        """Keep an end; a disk that is full keeps it from being told after a restart, not now."""
        done = replace(operation, updated_at=time.time())
        self._known[operation.id] = done
        self._cancelled.discard(operation.id)
        over = self._over[operation.id]
        try:
            await asyncio.to_thread(self._keeper.keep, done)
            await asyncio.to_thread(self._told_over, done)
            await self._forget_oldest()
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
            self._fault(f"operations/{operation.id}", error)
        finally:
            over.set()

    async def _forget_oldest(self) -> None:
        done = sorted(
            (each for each in self._known.values() if each.done), key=lambda each: each.updated_at
        )
        for each in done[: max(0, len(done) - MOST_KEPT)]:
            await self._forget(each)

    async def _forget(self, operation: Operation) -> None:
        await asyncio.to_thread(self._keeper.forget, operation.id)
        self._known.pop(operation.id, None)
        self._over.pop(operation.id, None)
        await asyncio.to_thread(self._told_gone, operation)


def _cancelled() -> Cancelled:
    return Cancelled("the operation was cancelled")
