"""Writing down many files, as an operation: one after the other, each result kept at once."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from embedsvc.batching import Terms
from embedsvc.errors import AudioEmpty, DiskFull, HeadUnavailable, QueueFull, Unavailable
from embedsvc.files import Take, disk_errors
from embedsvc.operations import Kind, Operation, Operations, Progress, Tell
from embedsvc.pipeline.batch_folder import Batch, Gathering, Limits, Sent
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.transcriber import Ended, Task, Transcriber
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import DecodeOptions, HeadInfo, HotWord, Lane, Source, TranscriptSegment

KIND = "batch-transcribe"

LOOK_SECONDS = 0.1
"""Between two looks at whether a batch is to end."""

WAITS = (1.0, 5.0, 20.0)
"""Seconds before a file is tried again that found no room."""

ILL_SECONDS = 600.0
"""How long a batch waits for a head that is not well, while other batches wait for it."""


class Notes(Protocol):
    """How results are kept: what is told of a file, one part after the other, is one result."""

    def segment(self, segment: TranscriptSegment, below: float, *, words: bool) -> bytes:
        """A segment, and where its confidence is `below`."""
        ...

    def ended(self, ended: Ended, head: HeadInfo, language: str) -> bytes:
        """What is known when all is written."""
        ...

    def failed(self, error: Exception) -> bytes:
        """Why there is none."""
        ...


@dataclass(frozen=True)
class Order:
    """How a batch is to be written down; `below` and `words` are of what is kept.

    `language` is the code of that which is written, "" where nobody says.
    """

    head: str
    options: DecodeOptions
    lane: Lane
    below: float
    words: bool
    language: str = ""


class Batches:
    """Writes batches down on behalf of callers."""

    def __init__(
        self,
        transcriber: Transcriber,
        heads: Heads,
        folder: Path,
        notes: Notes,
        limits: Limits,
        take: Take,
    ) -> None:
        self._transcriber = transcriber
        self._heads = heads
        self._folder = folder
        self._notes = notes
        self._limits = limits
        self._take = take
        self._ill_since: dict[str, float] = {}

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kind of operations this does; a batch goes on where it was."""
        return {KIND: Kind(self.work, "batches", patient=True)}

    def gathering(self) -> Gathering:
        """Where the files of a new batch are gathered."""
        return Gathering(self._folder / secrets.token_hex(16), self._limits, self._take)

    async def begin(self, operations: Operations, order: Order, gathering: Gathering) -> Operation:
        """Begin to write down what was gathered."""
        name = gathering.folder.name
        return await operations.submit(
            KIND, f"transcripts/{name}", asdict(order) | {"folder": name}
        )

    def batch(self, operation: Operation) -> Batch:
        """The files and results of an operation of this kind."""
        return Batch(self._folder / operation.request["folder"])

    def over(self, operation: Operation) -> None:
        """Nothing more is written down; what is, stays."""
        if operation.kind == KIND:
            self.batch(operation).drop_audio()

    def gone(self, operation: Operation) -> None:
        """Remove what came of an operation that is forgotten."""
        if operation.kind == KIND:
            self.batch(operation).remove()

    def recover(self, operations: Operations) -> None:
        """Remove what belongs to no operation."""
        mine = [each for each in operations.list() if each.kind == KIND]
        wanted = {each.request["folder"] for each in mine}
        if self._folder.is_dir():
            for path in list(self._folder.iterdir()):
                if path.name not in wanted:
                    Batch(path).remove()
        for each in mine:
            if each.done:
                self.over(each)

    async def work(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        """Write down what is not written yet; what came of it in numbers."""
        batch = Batch(self._folder / request["folder"])
        order = _order(request)
        files = await asyncio.to_thread(batch.files)
        head = self._heads.chosen(order.head)
        task = Task(head, order.options, language=order.language)
        for place, sent in enumerate(files):
            look = partial(tell, Progress(place, len(files), sent.id))
            look()
            if not batch.is_finished(place):
                await _watched(self._file(batch, place, sent, task, order), look)
        tell(Progress(len(files), len(files), ""))
        return await asyncio.to_thread(batch.counts)

    async def _file(self, batch: Batch, place: int, sent: Sent, task: Task, order: Order) -> None:
        """Write one file down, or why that cannot be done."""
        started = time.perf_counter()
        seconds, wrong = 0.0, None
        try:
            await asyncio.to_thread(batch.begin, place)
            seconds = await self._patiently(batch, place, sent, task, order)
        except asyncio.CancelledError:
            batch.leave(place)
            raise
        except DiskFull:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
            wrong = error
            await asyncio.to_thread(batch.refuse, place, self._notes.failed(error))
        facts = {
            "failed": wrong is not None,
            "audio_seconds": seconds,
            "work_seconds": time.perf_counter() - started,
        }
        await asyncio.to_thread(batch.finish, place, facts)

    async def _patiently(
        self, batch: Batch, place: int, sent: Sent, task: Task, order: Order
    ) -> float:
        waits = list(WAITS)
        while True:
            try:
                seconds = await self._write(batch, place, sent, task, order)
            except HeadUnavailable as error:
                now = time.monotonic()
                if now - self._ill_since.setdefault(order.head, now) > ILL_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after_seconds or WAITS[0])
            except (QueueFull, Unavailable):
                if not waits:
                    raise
                await asyncio.sleep(waits.pop(0))
            else:
                self._ill_since.pop(order.head, None)
                return seconds

    async def _write(self, batch: Batch, place: int, sent: Sent, task: Task, order: Order) -> float:
        """Write one file down; the seconds it lasts. Raises what is wrong with it."""
        form = Source(b"", sent.pcm, sent.policy, sent.strict)
        terms = Terms(order.lane, patient=True)
        if not batch.audio(place).stat().st_size:
            raise AudioEmpty("`audio` must have bytes, but is empty", field="audio")
        with (
            batch.audio(place).open("rb") as audio,
            disk_errors(),  # of the end, too, which writes once more what was not taken
            batch.transcript(place).open("wb") as kept,
        ):
            found = self._transcriber.transcribe_file(audio, form, task, terms)
            seconds = 0.0
            async with aclosing(found):
                async for each in found:
                    if isinstance(each, Ended):
                        seconds = each.samples / SAMPLE_RATE
                        note = self._notes.ended(each, task.head.info, task.language)
                    else:
                        note = self._notes.segment(each, order.below, words=order.words)
                    await asyncio.to_thread(_keep, kept, note)
        return seconds


def _keep(file: BinaryIO, note: bytes) -> None:
    file.write(note)
    file.flush()


async def _watched(work: Coroutine[Any, Any, None], look: Callable[[], None]) -> None:
    """Do the work, and end it when `look` raises."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_SECONDS)
            look()
        await task
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _order(request: Mapping[str, Any]) -> Order:
    facts = dict(request["options"])
    hot_words = tuple(HotWord(**each) for each in facts.pop("hot_words"))
    return Order(
        request["head"],
        DecodeOptions(**facts, hot_words=hot_words),
        Lane(request["lane"]),
        request["below"],
        request["words"],
        request.get("language", ""),  # absent from operations of earlier versions
    )
