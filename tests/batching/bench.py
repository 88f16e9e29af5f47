"""A batcher that runs, and an encoder that does as it is told."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from embedsvc.batching import (
    MAIN,
    Batcher,
    Cost,
    Fault,
    Limits,
    Machine,
    Model,
    Ran,
    Terms,
    noise,
)
from embedsvc.batching.canary import LENGTH
from embedsvc.types import Ask, Encoded, Frames, Lane

CANARY = noise(LENGTH)
POISON = -1
OTHER = "other"
COST = Cost(batch=0.0, frame=0.001, pair=0.0)
SLOW = Cost(batch=0.0, frame=0.01, pair=0.0)
LAYERS = 4


def utterance(number: int, count: int = 1) -> Frames:
    """Frames that say whose they are."""
    return Frames(np.full((count, 160), number, np.float32))


def number_of(frames: Frames) -> int:
    return int(frames.features[0, 0])


def answered(ran: Ran) -> int:
    return int(ran.encoded.frames[0][0, 0])


def ask(depth: int = 0) -> Ask:
    return Ask(tuple(range(depth + 1)))


def digest(frames: Frames) -> bytes:
    return hashlib.sha256(frames.features.tobytes()).digest()


class Encoder:
    """Answers with what it was given; waits at its gate, and fails on a poison.

    `most` is the frames that fit its memory; `broken` makes it fail on everything, and `odd` answer
    the canary with what are no numbers.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.depths: list[set[int]] = []
        self.sizes: list[int] = []
        self.shares: list[int] = []
        self.canaries = 0
        self.most = 10**9
        self.broken = False
        self.odd = False
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def __call__(self, frames: Sequence[Frames], asks: Sequence[Ask]) -> list[Encoded]:
        if frames[0].features is CANARY.features:
            return self._canary(asks[0])
        self.batches.append([number_of(one) for one in frames])
        self.depths.append({max(one.layers) for one in asks})
        self.sizes.append(sum(map(len, frames)))
        self.began.set()
        assert self.gate.wait(30)
        if self.sizes[-1] > self.most:
            raise MemoryError
        if self.broken or POISON in self.batches[-1]:
            raise ArithmeticError("poison")
        return [Encoded({0: one.features}, {}) for one in frames]

    def _canary(self, ask: Ask) -> list[Encoded]:
        self.canaries += 1
        if self.broken:
            raise ArithmeticError("broken")
        states = CANARY.features * (np.nan if self.odd else 1)
        return [Encoded(dict.fromkeys(ask.layers, states), {})]


@dataclass
class Bench:
    """A batcher that runs, and its encoder; of the other one a head `other` is read."""

    batcher: Batcher
    encoder: Encoder
    other: Encoder
    told: list[str] = field(default_factory=list)

    def submit(
        self,
        number: int,
        count: int = 1,
        depth: int = 0,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        patient: bool = False,
        body: str = MAIN,
    ) -> "asyncio.Task[Ran]":
        """One request of one utterance."""
        terms, heard = Terms(lane, deadline, patient), utterance(number, count)
        return asyncio.create_task(self._submit(heard, ask(depth), terms, body))

    async def plug(self, number: int = 0) -> "asyncio.Task[Ran]":
        """Keep a pass of the encoder busy with an utterance until the gate is opened."""
        self.encoder.gate.clear()
        self.encoder.began.clear()
        task = self.submit(number)
        await asyncio.to_thread(self.encoder.began.wait, 30)
        return task

    def tell(self, body: str, fault: Fault | None) -> None:
        text = "" if fault is None else fault.text
        self.told.append(f"{body}: {text}" if body else text)

    def unplug(self) -> None:
        self.encoder.gate.set()

    async def _submit(self, frames: Frames, ask: Ask, terms: Terms, body: str) -> Ran:
        async with self.batcher.admitted(terms, len(frames), bodies={body: body}) as ticket:
            return await ticket.submit(frames, ask, digest(frames) + body.encode(), body)


def model(encoder: Encoder, cost: Cost = COST, *, padded: bool = False) -> Model:
    """What a batcher knows of it."""
    return Model(encoder, LAYERS, cost, padded, lambda length: CANARY)


@asynccontextmanager
async def running(
    max_batch_frames: int = 100,
    queue_frames: int = 1000,
    *,
    wait_seconds: float = 1e6,
    padded: bool = False,
    passes: int = 1,
    cache_bytes: int = 0,
    stall_seconds: float = 30.0,
) -> AsyncIterator[Bench]:
    """A batcher whose predictions are a millisecond a frame, and no wait is too long.

    Of the other body they are ten.
    """
    encoder, other = Encoder(), Encoder()
    batcher = Batcher(
        {MAIN: model(encoder, padded=padded), OTHER: model(other, SLOW)},
        Limits(max_batch_frames, queue_frames, dict.fromkeys(Lane, wait_seconds)),
        Machine(passes, encoder.shares.append),
        cache_bytes=cache_bytes,
        stall_seconds=stall_seconds,
    )
    bench = Bench(batcher, encoder, other)
    batcher.start()
    watching = asyncio.create_task(batcher.watch(bench.tell))
    try:
        yield bench
    finally:
        encoder.gate.set()
        other.gate.set()
        await batcher.close()
        watching.cancel()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the encoder's thread, or the clock, is about to bring."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # a thread does not set our events
            await asyncio.sleep(0.002)
