"""Speech in, text out: what a CTC head writes, from the pass that everything else shares."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO

from embedsvc.batching import MAIN, Terms, Ticket
from embedsvc.encoder.ctc import CtcHead
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import ON_CALL, Embedder, answers_of
from embedsvc.pipeline.listening import Asked, Listener
from embedsvc.pipeline.reading import Upload, Utterance
from embedsvc.pipeline.takers import by_body
from embedsvc.pipeline.writing import Keeper, Writer
from embedsvc.types import (
    AudioWarning,
    DecodeOptions,
    ProbeAnswer,
    Source,
    Timing,
    TranscriptSegment,
    Windowing,
)

WINDOWING = Windowing()
"""How audio is cut for heads; where probes hear the same pass, they must read it too."""


@dataclass(frozen=True)
class Task:
    """With what to write, how, and the probes that hear the same audio.

    `language` is the code of that which is written, "" where nobody says.
    """

    head: CtcHead
    options: DecodeOptions
    asked: tuple[Asked, ...] = ()
    language: str = ""

    @property
    def bodies(self) -> Mapping[str, str]:
        """Who hears the audio: the body, for the head, and for probes the served model."""
        own = {self.head.body.key: self.head.info.name}
        return {MAIN: ""} | own if self.asked else own


@dataclass(frozen=True)
class Ended:
    """What is known of a recording when all of it is written."""

    answers: tuple[ProbeAnswer, ...]
    warnings: tuple[AudioWarning, ...]
    samples: int
    frames: int
    timing: Timing


class Transcriber:
    """Writes down utterances and uploads."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def transcribe(
        self, source: Source, task: Task, terms: Terms = ON_CALL
    ) -> tuple[tuple[TranscriptSegment, ...], Ended]:
        """One utterance in memory."""
        clock = Clock()
        async with self._embedder.admitted(terms, clock, source, task.bodies) as ticket:
            speech = await self._embedder.read(source, WINDOWING, clock, ticket)
            segments: list[TranscriptSegment] = []
            async with aclosing(self._segments(speech, task, clock, ticket)) as found:
                async for each in found:
                    if isinstance(each, Ended):
                        return tuple(segments), each
                    segments.append(each)
        raise AssertionError("the end comes last")

    async def align(
        self, source: Source, text: str, head: CtcHead, terms: Terms = ON_CALL
    ) -> tuple[TranscriptSegment, Ended]:
        """When each word of a text is said in one utterance in memory."""
        clock = Clock()
        bodies = {head.body.key: head.info.name}
        async with self._embedder.admitted(terms, clock, source, bodies) as ticket:
            speech = await self._embedder.read(source, WINDOWING, clock, ticket)
            keeper = await self._embedder.run(speech, Keeper(head), clock, ticket)
        segment = await asyncio.to_thread(keeper.aligned, text)
        timing = clock.stop()
        return segment, Ended((), speech.warnings, keeper.samples, keeper.frame_count, timing)

    async def transcribe_file(
        self, file: BinaryIO, source: Source, task: Task, terms: Terms = ON_CALL
    ) -> AsyncGenerator[TranscriptSegment | Ended]:
        """One upload: each segment when it is over, then the end.

        `file` holds its bytes, `source` says how to read them.
        """
        clock = Clock()
        async with (
            self._embedder.admitted(terms, clock, bodies=task.bodies) as ticket,
            self._embedder.opened(file, source, WINDOWING) as speech,
            aclosing(self._segments(speech, task, clock, ticket)) as found,
        ):
            async for each in found:
                yield each

    async def _segments(
        self, speech: Utterance | Upload, task: Task, clock: Clock, ticket: Ticket
    ) -> AsyncGenerator[TranscriptSegment | Ended]:
        writer = Writer(task.head, task.options)
        listener = Listener(task.asked, self._embedder.encoder) if task.asked else None
        takers = by_body([writer] if listener is None else [writer, listener])
        async with aclosing(self._embedder.steps(speech, takers, clock, ticket)) as steps:
            async for _ in steps:
                for segment in writer.taken():
                    yield segment
        for segment in await asyncio.to_thread(writer.rest):
            yield segment
        yield Ended(
            answers=() if listener is None else await answers_of(listener),
            warnings=speech.warnings,
            samples=writer.samples,
            frames=writer.frame_count,
            timing=clock.stop(),
        )
