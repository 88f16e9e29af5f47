"""Live speech in, text out while it is said: streams share the encoder a pass at a time.

A stream has one pass in the queue at most, and asks for the next when what it told is taken. So
streams have their turns one after the other, whoever sends how much at once; and a caller who does
not read is not heard further.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from embedsvc.batching import Terms, Ticket
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import ON_CALL, Embedder
from embedsvc.pipeline.live_lookahead import Lookahead
from embedsvc.pipeline.live_recompute import Recompute
from embedsvc.pipeline.live_steps import LiveSpeech, Pass, Plan, Steps, Told
from embedsvc.pipeline.resuming import Place
from embedsvc.pipeline.takers import Passed
from embedsvc.pipeline.transcriber import Ended, Task
from embedsvc.timing import frame_count
from embedsvc.types import ChannelPolicy, PcmFormat, StreamMode

BLOCK = 1 << 16
"""Bytes that are taken at once, whatever comes in a message: two seconds of 16-bit PCM."""

MODES: dict[StreamMode, type[Recompute] | type[Lookahead]] = {
    StreamMode.RECOMPUTE: Recompute,
    StreamMode.LOOKAHEAD: Lookahead,
}


@dataclass
class _Work:
    """What a stream cost."""

    clock: Clock
    frames: int = 0


class LiveTranscriber:
    """Writes down live streams."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def live(
        self,
        pcm: PcmFormat,
        policy: ChannelPolicy,
        task: Task,
        plan: Plan,
        place: Place | None = None,
    ) -> LiveSpeech:
        """A live stream of raw PCM for `stream`; or the rest of one, from a place on."""
        door = self._embedder.live_door(policy)
        return MODES[plan.mode](pcm, door, task.head, task.options, plan, place)

    async def stream(
        self, chunks: AsyncIterator[bytes | None], live: LiveSpeech, terms: Terms = ON_CALL
    ) -> AsyncGenerator[Told | Ended]:
        """Live PCM in any chunks; what is told while it is said, and the end.

        None among the chunks ends a stretch now.
        """
        work = _Work(Clock())
        async with self._embedder.admitted(terms, work.clock, bodies=live.bodies) as ticket:
            async for chunk in chunks:
                for steps in _taken(live, chunk):
                    async with aclosing(self._told(steps, work, ticket)) as told:
                        async for each in told:
                            yield each
            async with aclosing(self._told(live.finish(), work, ticket)) as told:
                async for each in told:
                    yield each
        yield Ended((), live.warnings, live.samples, work.frames, work.clock.stop())

    async def _told(self, steps: Steps, work: _Work, ticket: Ticket) -> AsyncGenerator[Told]:
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            if not isinstance(step, Pass):
                yield step
                continue
            passed = await self._pass(step, work.clock, ticket)
            work.frames += frame_count(step.samples)
            work.clock.queue = max(work.clock.queue, passed.ran.queue)
            work.clock.compute += passed.ran.compute
            encoded, heard = passed.ran.encoded, passed.active
            await asyncio.to_thread(step.taker.add, step.window, encoded, heard)

    async def _pass(self, step: Pass, clock: Clock, ticket: Ticket) -> Passed:
        if step.given is None:
            return await self._embedder.one_pass(step.window, step.taker, clock, ticket)
        frames = step.given.frames
        digest = hashlib.sha256(np.ascontiguousarray(frames.features).data).digest()
        ask, body = step.taker.ask(step.window), step.taker.body.key
        ran = await ticket.submit(frames, ask, digest, body)
        return Passed(ran, step.given.active)


def _taken(live: LiveSpeech, chunk: bytes | None) -> Iterator[Steps]:
    """The steps of a chunk, a block at a time: a message may be of many minutes."""
    if chunk is None:
        yield live.flush()
        return
    for at in range(0, len(chunk), BLOCK):
        yield live.push(chunk[at : at + BLOCK])
