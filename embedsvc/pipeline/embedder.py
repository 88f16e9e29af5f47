"""Speech in, embeddings out: the straight line from a source to its vectors."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from embedsvc.audio import DecodePool, Door, Windower
from embedsvc.batching import MAIN_ONLY, Batcher, Terms, Ticket
from embedsvc.encoder import Encoder, Plan
from embedsvc.errors import EmbedsvcError
from embedsvc.pipeline import segments
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.hearing import hear
from embedsvc.pipeline.listening import Asked, Listener
from embedsvc.pipeline.live import Live
from embedsvc.pipeline.reading import Reader, Upload, Utterance, Windowed, expected_frames
from embedsvc.pipeline.takers import AnyTaker, Both, Passed, Taker
from embedsvc.pipeline.tally import Tally
from embedsvc.settings import AudioSettings
from embedsvc.timing import FRAME, frame_count, to_samples
from embedsvc.types import (
    ChannelPolicy,
    Embedding,
    Output,
    OutputSpec,
    PcmFormat,
    Pooling,
    ProbeAnswer,
    Segmentation,
    Source,
    Span,
    Window,
    Windowing,
)

WINDOWS_AHEAD = 4
"""Windows of one recording that may wait for the encoder: enough to keep it busy."""

ON_CALL = Terms(patient=True)
"""The terms of one who is in this process, and has nowhere else to go."""


NO_SAMPLES = np.empty(0, np.float32)


@dataclass(frozen=True)
class Wish:
    """What a request wants of each utterance; `names` are those of the plans.

    With a `segmentation`, pooled outputs have a row for each segment. The probes that are `asked`
    hear the same pass.
    """

    names: tuple[str, ...]
    plans: tuple[Plan, ...]
    windowing: Windowing
    frame_limit: int | None = None
    asked: tuple[Asked, ...] = ()
    segmentation: Segmentation | None = None

    @property
    def layers(self) -> list[int]:
        """The layers that some output needs."""
        return [plan.layer for plan in self.plans]

    @property
    def frame_layers(self) -> frozenset[int]:
        """The layers of which the frames themselves are wanted."""
        return frozenset(plan.layer for plan in self.plans if plan.pooling is Pooling.NONE)


class Embedder:
    """Embeds utterances, uploads and live streams with one encoder."""

    def __init__(
        self,
        encoder: Encoder,
        batcher: Batcher,
        pool: DecodePool,
        *,
        settings: AudioSettings,
    ) -> None:
        self.encoder = encoder
        self._batcher = batcher
        self._pool = pool
        self._reader = Reader(pool, settings.max_unary_seconds, settings.decode_workers)
        self._most_frames = frame_count(to_samples(settings.max_unary_seconds))
        self._max_upload_seconds = settings.max_upload_seconds
        self._uploads = asyncio.Semaphore(settings.max_parallel_uploads)

    def wish(
        self, specs: Sequence[OutputSpec], windowing: Windowing, field: str = "outputs[{}]"
    ) -> Wish:
        """Settle what is asked; raises InvalidArgument for what this model cannot do.

        `field` is where the specs stand in the request; the windowing stands beside them.
        """
        with _under(field.rpartition(".")[0]):
            Windower(windowing)  # checks its numbers
        plans = []
        for place, spec in enumerate(specs):
            with _under(field.format(place)):
                plans.append(self.encoder.plan(spec, windowing))
        return Wish(tuple(spec.name for spec in specs), tuple(plans), windowing)

    async def embed(self, source: Source, wish: Wish, terms: Terms = ON_CALL) -> Embedding:
        """One utterance in memory."""
        clock = Clock()
        async with self.admitted(terms, clock, source) as ticket:
            utterance = await self.read(source, wish.windowing, clock, ticket)
            both = await self.run(utterance, self._both(wish), clock, ticket)
            return await self._embedding(wish, both, utterance, clock)

    async def embed_file(
        self, file: BinaryIO, source: Source, wish: Wish, terms: Terms = ON_CALL
    ) -> Embedding:
        """One upload: `file` holds its bytes, `source` says how to read them."""
        clock = Clock()
        async with (
            self.admitted(terms, clock) as ticket,
            self.opened(file, source, wish.windowing) as upload,
        ):
            both = await self.run(upload, self._both(wish), clock, ticket)
            return await self._embedding(wish, both, upload, clock)

    async def embed_windows(
        self, file: BinaryIO, source: Source, wish: Wish, terms: Terms = ON_CALL
    ) -> AsyncGenerator[Embedding]:
        """One upload, window by window: nothing is kept of those that were taken."""
        ahead: deque[asyncio.Task[Embedding]] = deque()
        async with (
            self.admitted(terms, Clock()) as ticket,
            self.opened(file, source, wish.windowing) as upload,
            aclosing(upload.windows()) as windows,
        ):
            try:
                async for window in windows:
                    ahead.append(asyncio.create_task(self._one_window(window, wish, ticket)))
                    if len(ahead) >= WINDOWS_AHEAD:
                        yield await ahead.popleft()
                while ahead:
                    yield await ahead.popleft()
            finally:
                for task in ahead:
                    task.cancel()
                await asyncio.gather(*ahead, return_exceptions=True)

    @asynccontextmanager
    async def admitted(
        self,
        terms: Terms,
        clock: Clock,
        source: Source | None = None,
        bodies: Mapping[str, str] = MAIN_ONLY,
    ) -> AsyncIterator[Ticket]:
        """Let a request in before any work is done for it; what comes by windows has no source.

        `bodies` are those that are to hear it, each with the head that reads it.
        """
        started = time.perf_counter()
        # Audio that is too long is refused for that, and not for the room it would take.
        frames = 0 if source is None else min(expected_frames(source), self._most_frames)
        exact = source is None or source.pcm is not None
        admitted = self._batcher.admitted(terms, frames, exact=exact, bodies=bodies)
        async with admitted as ticket:
            clock.queue += time.perf_counter() - started
            yield ticket

    async def read(
        self, source: Source, windowing: Windowing, clock: Clock, ticket: Ticket
    ) -> Utterance:
        """Decode and check one utterance; the ticket learns its length."""
        started = time.perf_counter()
        utterance = await self._reader.read(source, windowing)
        clock.decode += time.perf_counter() - started
        ticket.expect(frame_count(utterance.samples))
        return utterance

    @asynccontextmanager
    async def opened(
        self, file: BinaryIO, source: Source, windowing: Windowing
    ) -> AsyncIterator[Upload]:
        """An upload that is decoded as it is embedded; waits while too many others are."""
        door = Door(source.policy, self._max_upload_seconds, source.strict)
        async with self._uploads:
            yield Upload(file, source.pcm, door, windowing, self._pool)

    async def run(
        self, speech: Windowed, taker: AnyTaker, clock: Clock, ticket: Ticket
    ) -> AnyTaker:
        """Send every window of `speech` through the encoder and into `taker`, in order."""
        await self.run_all(speech, [taker], clock, ticket)
        return taker

    async def run_all(
        self, speech: Windowed, takers: Sequence[Taker], clock: Clock, ticket: Ticket
    ) -> None:
        """As `run`, for several takers, each with a pass of its own."""
        async with aclosing(self.steps(speech, takers, clock, ticket)) as steps:
            async for _ in steps:
                pass

    async def steps(
        self, speech: Windowed, takers: Sequence[Taker], clock: Clock, ticket: Ticket
    ) -> AsyncGenerator[None]:
        """As `run_all`, telling of each window that was taken."""
        let_in = clock.queue
        ahead: deque[tuple[Window, asyncio.Task[list[Passed]]]] = deque()
        try:
            async with aclosing(clock.timing(speech.windows())) as windows:
                async for window in windows:
                    task = asyncio.create_task(self._passes(window, takers, clock, ticket))
                    ahead.append((replace(window, samples=NO_SAMPLES), task))
                    del window
                    if len(ahead) >= WINDOWS_AHEAD:
                        await _settle(ahead, takers, clock, let_in)
                        yield
            while ahead:
                await _settle(ahead, takers, clock, let_in)
                yield
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    def live(self, pcm: PcmFormat, policy: ChannelPolicy, wish: Wish) -> Live:
        """A live stream of raw PCM, to be given to `stream`."""
        return Live(pcm, self.live_door(policy), wish.windowing)

    def live_door(self, policy: ChannelPolicy) -> Door:
        """What is accepted of a live stream."""
        return Door(policy, self._max_upload_seconds)

    async def stream(
        self, chunks: AsyncIterator[bytes | None], live: Live, wish: Wish, terms: Terms = ON_CALL
    ) -> AsyncIterator[Embedding]:
        """Live PCM in any chunks; the embedding of each window as soon as its core is known.

        None among the chunks asks for everything received so far.
        """
        async with self.admitted(terms, Clock()) as ticket:
            async for chunk in chunks:
                windows = live.flush() if chunk is None else live.push(chunk)
                for window in windows:
                    yield await self._one_window(window, wish, ticket)
            for window in live.finish():
                yield await self._one_window(window, wish, ticket)

    async def _one_window(self, window: Window, wish: Wish, ticket: Ticket) -> Embedding:
        clock = Clock()
        both = self._both(wish)
        passed = await self.one_pass(window, both, clock, ticket)
        await _add(both, window, passed)
        clock.queue, clock.compute = passed.ran.queue, passed.ran.compute
        return Embedding(
            outputs=self._outputs(wish, both.tally, window.core),
            span=window.core,
            frames=both.tally.frame_count,
            timing=clock.stop(),
            answers=await _answers(both),
        )

    async def one_pass(self, window: Window, taker: Taker, clock: Clock, ticket: Ticket) -> Passed:
        """What the body of a taker makes of a window."""
        started = time.perf_counter()
        ask, body = taker.ask(window), taker.body
        heard = await asyncio.to_thread(hear, window, body, sound=taker.hears)
        del window  # its samples are three times what waits for an encoder of features
        clock.decode += time.perf_counter() - started
        ran = await ticket.submit(heard.read, ask, heard.digest, body.key)
        return Passed(ran, heard.active)

    async def _passes(
        self, window: Window, takers: Sequence[Taker], clock: Clock, ticket: Ticket
    ) -> list[Passed]:
        if len(takers) == 1:
            return [await self.one_pass(window, takers[0], clock, ticket)]
        passes = [
            asyncio.create_task(self.one_pass(window, taker, clock, ticket)) for taker in takers
        ]
        try:
            return [await each for each in passes]
        finally:
            for each in passes:
                each.cancel()
            await asyncio.gather(*passes, return_exceptions=True)

    def _both(self, wish: Wish) -> Both:
        cell = None if wish.segmentation is None else wish.segmentation.hop // FRAME
        layers = wish.frame_layers
        tally = Tally(wish.layers, frame_layers=layers, cell=cell, frame_limit=wish.frame_limit)
        return Both(tally, Listener(wish.asked, self.encoder) if wish.asked else None)

    async def _embedding(self, wish: Wish, both: Both, speech: Windowed, clock: Clock) -> Embedding:
        span = Span(0, both.tally.samples)
        answers = await _answers(both)
        return Embedding(
            outputs=self._outputs(wish, both.tally, span),
            span=span,
            frames=both.tally.frame_count,
            warnings=speech.warnings,
            digest=speech.digest,
            timing=clock.stop(),
            answers=answers,
        )

    def _outputs(self, wish: Wish, tally: Tally, span: Span) -> tuple[Output, ...]:
        outputs = []
        for name, plan in zip(wish.names, wish.plans, strict=True):
            spans: tuple[Span, ...] = ()
            if plan.pooling is Pooling.NONE:
                array = self.encoder.finish_frames(plan, tally.frames(plan.layer))
            elif wish.segmentation is None:
                array = self.encoder.finish(plan, tally.whole(plan.layer))
            else:
                parts = segments.segments(tally.cells(plan.layer), tally.samples, wish.segmentation)
                spans = tuple(part for part, _ in parts)
                array = np.stack([self.encoder.finish(plan, moments) for _, moments in parts])
            outputs.append(Output(name, plan.space, array, span, spans))
        return tuple(outputs)


@contextmanager
def _under(field: str) -> Iterator[None]:
    """Place the field of an error under `field`."""
    try:
        yield
    except EmbedsvcError as error:
        if not field:
            raise
        raise error.at(field) from error


async def _settle(
    ahead: "deque[tuple[Window, asyncio.Task[list[Passed]]]]",
    takers: Sequence[Taker],
    clock: Clock,
    let_in: float,
) -> None:
    """Wait for the oldest window and add it; `let_in` is what was waited before all of them."""
    window, task = ahead[0]
    passes = await task
    ahead.popleft()
    for taker, passed in zip(takers, passes, strict=True):
        await _add(taker, window, passed)
        clock.queue = max(clock.queue, let_in + passed.ran.queue)
        clock.compute += passed.ran.compute


async def _add(taker: Taker, window: Window, passed: Passed) -> None:
    if taker.is_light:
        taker.add(window, passed.ran.encoded, passed.active)
    else:
        await asyncio.to_thread(taker.add, window, passed.ran.encoded, passed.active)


async def _answers(both: Both) -> tuple[ProbeAnswer, ...]:
    return () if both.listener is None else await answers_of(both.listener)


async def answers_of(listener: Listener) -> tuple[ProbeAnswer, ...]:
    """What the probes say of all that was heard."""
    if listener.is_light:
        return listener.answers()
    return await asyncio.to_thread(listener.answers)
