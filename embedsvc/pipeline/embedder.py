"""Speech in, embeddings out: the straight line from a source to its vectors."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from embedsvc.audio import DecodePool, Door, Windower, features
from embedsvc.batcher import Batcher, Ran
from embedsvc.encoder import Encoder, Plan
from embedsvc.errors import EmbedsvcError
from embedsvc.pipeline.live import Live
from embedsvc.pipeline.reading import Reader, Upload, Utterance
from embedsvc.pipeline.tally import Tally
from embedsvc.settings import AudioSettings
from embedsvc.types import (
    AudioWarning,
    ChannelPolicy,
    Embedding,
    Output,
    OutputSpec,
    PcmFormat,
    Pooling,
    Source,
    Span,
    Timing,
    Window,
    Windowing,
)

WINDOWS_AHEAD = 4
"""Windows of one recording that may wait for the encoder: enough to keep it busy."""


class Windowed(Protocol):
    """Speech that comes as windows; what is known at its end."""

    digest: str
    warnings: tuple[AudioWarning, ...]

    def windows(self) -> AsyncGenerator[Window]:
        """The windows, in order."""
        ...


@dataclass(frozen=True)
class Wish:
    """What a request wants of each utterance; `names` are those of the plans."""

    names: tuple[str, ...]
    plans: tuple[Plan, ...]
    windowing: Windowing
    frame_limit: int | None = None

    @property
    def layers(self) -> list[int]:
        """The layers that some output needs."""
        return [plan.layer for plan in self.plans]

    @property
    def frame_layers(self) -> frozenset[int]:
        """The layers of which the frames themselves are wanted."""
        return frozenset(plan.layer for plan in self.plans if plan.pooling is Pooling.NONE)


@dataclass
class Clock:
    """The stages of one request; `queue` is the longest wait of any of its windows."""

    started: float = field(default_factory=time.perf_counter)
    decode: float = 0.0
    queue: float = 0.0
    compute: float = 0.0

    async def timing(self, windows: AsyncGenerator[Window]) -> AsyncGenerator[Window]:
        """The same windows; the time until each of them counts as decoding."""
        async with aclosing(windows):
            started = time.perf_counter()
            async for window in windows:
                self.decode += time.perf_counter() - started
                yield window
                started = time.perf_counter()

    def stop(self) -> Timing:
        """What each stage took until now."""
        return Timing(self.decode, self.queue, self.compute, time.perf_counter() - self.started)


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

    async def embed(self, source: Source, wish: Wish, *, patient: bool = False) -> Embedding:
        """One utterance in memory."""
        clock = Clock()
        utterance = await self.read(source, wish.windowing, clock)
        tally = await self.run(utterance, self._tally(wish), clock, patient=patient)
        return self._embedding(wish, tally, utterance, clock)

    async def embed_file(self, file: BinaryIO, source: Source, wish: Wish) -> Embedding:
        """One upload: `file` holds its bytes, `source` says how to read them."""
        clock = Clock()
        async with self.opened(file, source, wish.windowing) as upload:
            tally = await self.run(upload, self._tally(wish), clock, patient=True)
            return self._embedding(wish, tally, upload, clock)

    async def read(self, source: Source, windowing: Windowing, clock: Clock) -> Utterance:
        """Decode and check one utterance."""
        started = time.perf_counter()
        utterance = await self._reader.read(source, windowing)
        clock.decode += time.perf_counter() - started
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
        self, speech: Windowed, tally: Tally, clock: Clock, *, patient: bool = False
    ) -> Tally:
        """Send every window of `speech` through the encoder and into `tally`, in order."""
        ahead: deque[tuple[Window, asyncio.Task[Ran]]] = deque()
        try:
            async with aclosing(clock.timing(speech.windows())) as windows:
                async for window in windows:
                    task = asyncio.create_task(self._pass(window, tally, clock, patient))
                    ahead.append((window, task))
                    if len(ahead) >= WINDOWS_AHEAD:
                        await _settle(ahead, tally, clock)
            while ahead:
                await _settle(ahead, tally, clock)
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)
        return tally

    async def stream(
        self, chunks: AsyncIterator[bytes | None], pcm: PcmFormat, policy: ChannelPolicy, wish: Wish
    ) -> AsyncIterator[Embedding]:
        """Live PCM in any chunks; the embedding of each window as soon as its core is known.

        None among the chunks asks for everything received so far.
        """
        door = Door(policy, self._max_upload_seconds)
        live = Live(pcm, door, wish.windowing)
        async for chunk in chunks:
            windows = live.flush() if chunk is None else live.push(chunk)
            for window in windows:
                yield await self._one_window(window, wish)
        for window in live.finish():
            yield await self._one_window(window, wish)

    async def _one_window(self, window: Window, wish: Wish) -> Embedding:
        clock = Clock()
        tally = self._tally(wish)
        ran = await self._pass(window, tally, clock, patient=True)
        tally.add(window, ran.encoded)
        clock.queue, clock.compute = ran.queue, ran.compute
        return Embedding(
            outputs=self._outputs(wish, tally, window.core),
            span=window.core,
            frames=tally.frame_count,
            timing=clock.stop(),
        )

    async def _pass(self, window: Window, tally: Tally, clock: Clock, patient: bool) -> Ran:
        started = time.perf_counter()
        frames = await asyncio.to_thread(features, window.samples)
        clock.decode += time.perf_counter() - started
        return await self._batcher.submit(frames, tally.ask(window), patient=patient)

    def _tally(self, wish: Wish) -> Tally:
        return Tally(wish.layers, frame_layers=wish.frame_layers, frame_limit=wish.frame_limit)

    def _embedding(self, wish: Wish, tally: Tally, speech: Windowed, clock: Clock) -> Embedding:
        span = Span(0, tally.samples)
        return Embedding(
            outputs=self._outputs(wish, tally, span),
            span=span,
            frames=tally.frame_count,
            warnings=speech.warnings,
            digest=speech.digest,
            timing=clock.stop(),
        )

    def _outputs(self, wish: Wish, tally: Tally, span: Span) -> tuple[Output, ...]:
        outputs = []
        for name, plan in zip(wish.names, wish.plans, strict=True):
            if plan.pooling is Pooling.NONE:
                array = self.encoder.finish_frames(plan, tally.frames(plan.layer))
            else:
                array = self.encoder.finish(plan, tally.whole(plan.layer))
            outputs.append(Output(name, plan.space, array, span))
        return tuple(outputs)


@contextmanager
def _under(field: str) -> Iterator[None]:
    """Place the field of an error under `field`."""
    try:
        yield
    except EmbedsvcError as error:
        if field:
            error.at(field)
        raise


async def _settle(
    ahead: "deque[tuple[Window, asyncio.Task[Ran]]]", tally: Tally, clock: Clock
) -> None:
    """Wait for the oldest window and add it."""
    window, task = ahead[0]
    ran = await task
    ahead.popleft()
    tally.add(window, ran.encoded)
    clock.queue = max(clock.queue, ran.queue)
    clock.compute += ran.compute
