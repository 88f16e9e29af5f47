"""What the servicers stand on: the encoder, its queue, and the collections."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

from embedsvc import telemetry
from embedsvc.audio import DecodePool
from embedsvc.batching import Batcher, Fault, Limits, Machine, Model
from embedsvc.encoder import Encoder, out_of_memory, share_threads, threads, usual_passes
from embedsvc.errors import Unavailable
from embedsvc.files import Reserve
from embedsvc.index import Catalog
from embedsvc.operations import Kind, Operation, Operations
from embedsvc.pipeline import fitting, loading
from embedsvc.pipeline.batch_folder import Limits as BatchLimits
from embedsvc.pipeline.batch_transcribing import Batches
from embedsvc.pipeline.bodies import Bodies, load_bodies, wanted
from embedsvc.pipeline.classifier import Classifier
from embedsvc.pipeline.embedder import Embedder
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.library import Library
from embedsvc.pipeline.live_transcriber import LiveTranscriber
from embedsvc.pipeline.probe_training import Trainings
from embedsvc.pipeline.transcriber import Transcriber
from embedsvc.probes import Shelf
from embedsvc.service import written
from embedsvc.service.streams import Uploads
from embedsvc.settings import BatcherSettings, ModelSettings, Settings
from embedsvc.types import Lane

MEBIBYTE = 1024 * 1024
PROCESSOR_FRAMES = 1000
"""About one window of long audio: a processor gains little from larger batches, and whoever waits,
or leaves, loses.
"""

GPU_FRAMES = 12_000


class Backend:
    """Complete once the model is loaded; until then whoever asks is told to come back.

    `claim_data` opens the collections now, so that a second server on them fails at its start;
    otherwise they are opened when a call first needs them.
    """

    def __init__(self, settings: Settings, *, claim_data: bool = True) -> None:
        self.settings = settings
        self._catalog = Catalog(settings.data) if claim_data else None
        self._reserve = Reserve(settings.data, settings.server.disk_reserve_bytes)
        self._pool = DecodePool(settings.audio.decode_workers)
        self._batcher: Batcher | None = None
        self._watching: asyncio.Task[None] | None = None
        self._library: Library | None = None
        self._operations: Operations | None = None
        self._trainings: Trainings | None = None
        self._batches: Batches | None = None
        self._shelf: Shelf | None = None
        self._classifier: Classifier | None = None
        self._embedder: Embedder | None = None
        self._bodies: Bodies | None = None

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
            self._library = Library(self.embedder, self._catalog, self.heads)
        return self._library

    @property
    def operations(self) -> Operations:
        """Long-running operations on the collections and probes."""
        if self._operations is None:
            catalog = self.library.catalog
            trainings = self.trainings
            self._batches = batches = self._own_batches()

            def over(operation: Operation) -> None:
                trainings.over(operation)
                batches.over(operation)

            self._operations = Operations(
                self.settings.data / "operations",
                {
                    fitting.KIND: Kind(partial(fitting.work, catalog)),
                    **batches.kinds,
                    **trainings.kinds,
                },
                _bug,
                over,
                batches.gone,
                self.settings.server.max_operations,
            )
            self._operations.start()
            # Nobody else has the data directory, and nothing is being written.
            trainings.recover(self._operations)
            batches.recover(self._operations)
        return self._operations

    @property
    def shelf(self) -> Shelf:
        """The probes, to be read; whoever writes asks for `own_shelf`."""
        if self._shelf is None:
            directory = self.embedder.encoder.directory
            self._shelf = Shelf(
                self.settings.data / "probes",
                None if directory is None else directory / "probes",
                lambda name, error: telemetry.event("damaged", what=name, error=str(error)),
            )
        return self._shelf

    @property
    def own_shelf(self) -> Shelf:
        """The probes, of which nobody else changes any."""
        assert self.operations is not None, "they claim the data directory"
        return self.shelf

    @property
    def trainings(self) -> Trainings:
        """What trains probes."""
        if self._trainings is None:
            self._trainings = Trainings(
                self.embedder,
                self.library.catalog,
                self.shelf,
                self.settings.data / "probes",
                _bug,
                self._reserve.take,
            )
            self.shelf.recover()
        return self._trainings

    @property
    def classifier(self) -> Classifier:
        """The way from speech to what probes say of it."""
        if self._classifier is None:
            self._classifier = Classifier(self.embedder, self.shelf)
        return self._classifier

    @property
    def bodies(self) -> Bodies:
        """The encoders that are loaded."""
        if self._bodies is None:
            raise _loading()
        return self._bodies

    @property
    def heads(self) -> Heads:
        """The CTC heads of the model, and those of others beside it."""
        return self.bodies.heads

    @property
    def transcriber(self) -> Transcriber:
        """The way from speech to text."""
        return Transcriber(self.embedder)

    @property
    def live_transcriber(self) -> LiveTranscriber:
        """The way from live speech to text."""
        return LiveTranscriber(self.embedder)

    @property
    def batches(self) -> Batches:
        """Files that are written down by operations."""
        assert self.operations is not None, "they make it"
        assert self._batches is not None
        return self._batches

    @cached_property
    def uploads(self) -> Uploads:
        """What is let into the folder for temporary files."""
        folder = Path(tempfile.gettempdir())
        size = self.settings.server.disk_reserve_bytes
        reserve = Reserve(folder, size, "the folder for temporary files")
        return Uploads(self.settings.audio.max_upload_bytes, reserve.take)

    @property
    def batcher(self) -> Batcher:
        """The queue of all encoders."""
        if self._batcher is None:
            raise _loading()
        return self._batcher

    def _own_batches(self) -> Batches:
        audio = self.settings.audio
        limits = BatchLimits(audio.max_batch_files, audio.max_upload_bytes, audio.max_batch_bytes)
        return Batches(
            self.transcriber,
            self.heads,
            self.settings.data / "transcripts",
            written.NOTES,
            limits,
            self._reserve.take,
        )

    async def start(self, tell: Callable[[str, Fault | None], None]) -> None:
        """Load the model and time it; `tell` hears of each fault of a body, and of its end."""
        settings = self.settings
        encoder, bodies, models = await asyncio.to_thread(_load, settings.model)
        machine = _machine(encoder, settings.model.passes)
        self._bodies = bodies
        for info in bodies.heads.infos():
            if (known := info.language_model) is not None:
                telemetry.event("language model", head=info.name, knows=asdict(known))
        telemetry.event(
            "loaded",
            model=encoder.name,
            device=str(encoder.device),
            precision=encoder.precision,
            reason=encoder.why,
            batches=encoder.how,
            passes=machine.passes,
        )
        _tell_heads(bodies)
        self._batcher = Batcher(
            models,
            _limits(settings.batcher, encoder),
            machine,
            cache_bytes=settings.batcher.cache_megabytes * MEBIBYTE,
            stall_seconds=settings.batcher.stall_seconds,
        )
        self._batcher.start()
        self._watching = asyncio.create_task(self._batcher.watch(tell))
        self._embedder = Embedder(
            encoder,
            self._batcher,
            self._pool,
            settings=settings.audio,
        )
        if self._catalog is not None:
            # What was not over when the process ended goes on now, and not at the first call.
            assert self.operations is not None

    async def stop(self) -> None:
        """Let go of everything; calls still running get UNAVAILABLE."""
        if self._watching is not None:
            self._watching.cancel()
        if self._operations is not None:
            await self._operations.stop()
        if self._batcher is not None:
            await self._batcher.close()
        await asyncio.to_thread(self._pool.close)
        if self._catalog is not None:
            await asyncio.to_thread(self._catalog.close)


def _bug(name: str, error: BaseException) -> None:
    telemetry.bug(name, "", error)


def workers() -> ThreadPoolExecutor:
    """Threads for decoding, features and SQLite, beside the encoder's own."""
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix="embedsvc")


def _load(settings: ModelSettings) -> tuple[Encoder, Bodies, dict[str, Model]]:
    encoder, heads = loading.load_all(
        settings.name,
        settings.threads,
        settings.device,
        settings.precision,
        settings.runtime,
        settings.projections,
    )
    asked = [wanted(name, text) for name, text in settings.heads.items()]
    bodies = load_bodies(encoder, heads, asked, settings.device)
    knowing = bodies.heads.with_language_models(settings.language_models)
    return encoder, replace(bodies, heads=knowing), bodies.models()


def _machine(encoder: Encoder, passes: int | None) -> Machine:
    return Machine(
        passes=passes or usual_passes(encoder.device),
        share=partial(share_threads, threads()),
        out_of_memory=out_of_memory,
    )


def _tell_heads(bodies: Bodies) -> None:
    """Log what else was loaded, and under which license it may be used; and what was left out."""
    for name, reason in bodies.heads.left_out().items():
        telemetry.warning("calibration left out", head=name, reason=reason)
    for head in bodies.added:
        telemetry.event(
            "head",
            head=head.info.name,
            model=head.info.model,
            languages=head.info.languages,
            license=head.info.license,
            body=head.body.key,
            parameters=bodies.encoders[head.body.key].parameters,
        )


def _limits(settings: BatcherSettings, encoder: Encoder) -> Limits:
    usual = PROCESSOR_FRAMES if encoder.device.type == "cpu" else GPU_FRAMES
    return Limits(
        batch_frames=settings.max_batch_frames or usual,
        queue_frames=settings.queue_frames,
        wait_seconds={
            Lane.INTERACTIVE: settings.interactive_seconds,
            Lane.NORMAL: settings.normal_seconds,
            Lane.BULK: settings.bulk_seconds,
        },
    )


def _loading() -> Unavailable:
    return Unavailable("the model is loading; try again", retry_after_seconds=1.0)
