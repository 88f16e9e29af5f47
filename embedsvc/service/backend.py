"""What the servicers stand on: the encoder, its queue, and the collections."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from embedsvc.audio import DecodePool
from embedsvc.batcher import Batcher
from embedsvc.encoder import Encoder
from embedsvc.errors import Unavailable
from embedsvc.index import Catalog
from embedsvc.pipeline import loading
from embedsvc.pipeline.embedder import Embedder
from embedsvc.pipeline.library import Library
from embedsvc.settings import ModelSettings, Settings


class Backend:
    """Complete once the model is loaded; until then whoever asks is told to come back.

    `claim_data` opens the collections now, so that a second server on them fails at its start;
    otherwise they are opened when a call first needs them.
    """

    def __init__(self, settings: Settings, *, claim_data: bool = True) -> None:
        self.settings = settings
        self._catalog = Catalog(settings.data) if claim_data else None
        self._pool = DecodePool(settings.audio.decode_workers)
        self._batcher: Batcher | None = None
        self._running: asyncio.Task[None] | None = None
        self._library: Library | None = None
        self._embedder: Embedder | None = None

    @property
    def embedder(self) -> Embedder:
        """The way from speech to vectors."""
        if self._embedder is None:
            raise _loading()
        return self._embedder

    @property
    def library(self) -> Library:
        """The collections."""
        if self._library is None:
            if self._catalog is None:
                self._catalog = Catalog(self.settings.data)
            self._library = Library(self.embedder, self._catalog)
        return self._library

    async def start(self) -> None:
        """Load the model and run it once."""
        settings = self.settings
        encoder = await asyncio.to_thread(_load, settings.model)
        self._batcher = Batcher(
            encoder.encode,
            max_batch_frames=settings.batcher.max_batch_frames,
            queue_frames=settings.batcher.queue_frames,
        )
        self._running = asyncio.create_task(self._batcher.run())
        self._embedder = Embedder(
            encoder,
            self._batcher,
            self._pool,
            settings=settings.audio,
        )

    async def stop(self) -> None:
        """Let go of everything; calls still running get UNAVAILABLE."""
        if self._batcher is not None:
            await self._batcher.close()
        if self._running is not None:
            self._running.cancel()
        await asyncio.to_thread(self._pool.close)
        if self._catalog is not None:
            await asyncio.to_thread(self._catalog.close)


def workers() -> ThreadPoolExecutor:
    """Threads for decoding, features and SQLite, beside the encoder's own."""
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix="embedsvc")


def _load(model: ModelSettings) -> Encoder:
    encoder = loading.load(model.name, model.threads, model.device, model.precision, model.runtime)
    encoder.warm_up()
    return encoder


def _loading() -> Unavailable:
    return Unavailable("the model is loading; try again", retry_after_seconds=1.0)
