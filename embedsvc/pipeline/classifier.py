"""Speech in, what probes say of it out."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from embedsvc.audio import Windower
from embedsvc.batching import Terms, Ticket
from embedsvc.encoder import Plan
from embedsvc.errors import FailedPrecondition, InvalidArgument, SpaceMismatch
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import ON_CALL, Embedder, answers_of
from embedsvc.pipeline.listening import Asked, Listener
from embedsvc.pipeline.live_pieces import LivePieces
from embedsvc.pipeline.reading import Upload, Utterance
from embedsvc.pipeline.spans import Spans
from embedsvc.probes import Probe, Shelf
from embedsvc.timing import to_seconds
from embedsvc.types import (
    AnsweredSpan,
    AudioWarning,
    ChannelPolicy,
    Floats,
    PcmFormat,
    Pooling,
    ProbeAnswer,
    Source,
    Space,
    Span,
    Timeline,
    Timing,
    Window,
    Windowing,
)

MOST_PLANS = 1_000


@dataclass(frozen=True)
class Classified:
    """What probes say of one utterance: `answers` of the whole, `timelines` over time.

    Both are in the order the probes were asked.
    """

    answers: tuple[ProbeAnswer, ...]
    timelines: tuple[tuple[AnsweredSpan, ...], ...]
    warnings: tuple[AudioWarning, ...]
    samples: int
    frames: int
    timing: Timing


@dataclass(frozen=True)
class Heard:
    """What probes say of one window of live audio, and the labels they hold to be going on."""

    span: Span
    answers: tuple[ProbeAnswer, ...]
    held: tuple[tuple[str, ...], ...]


class Classifier:
    """Asks the probes of a shelf about audio, vectors and live streams."""

    def __init__(self, embedder: Embedder, shelf: Shelf) -> None:
        self._embedder = embedder
        self._shelf = shelf
        self._plans: dict[Space, Plan] = {}

    async def asked(self, names: Sequence[str], field: str = "probes") -> tuple[Asked, ...]:
        """Probes to ask about audio, as they are now; whoever holds them is not in their way.

        Raises ProbeNotFound or DataLoss, SpaceMismatch for one that reads what this server's
        model does not make, and InvalidArgument when no single pass makes what all of them read.
        """
        probes = [self._shelf.held(name, f"{field}[{at}]") for at, name in enumerate(names)]
        if None in probes:
            probes = await asyncio.to_thread(self._read, names, field)
        return self._asked(names, [each for each in probes if each is not None], field)

    async def fitting(
        self, names: Sequence[str], windowing: Windowing, field: str
    ) -> tuple[Asked, ...]:
        """As `asked`, to hear a pass with a windowing that is settled; SpaceMismatch if they can't.

        A vector is only of a probe's space when the audio was cut as that space says.
        """
        asked = await self.asked(names, field)
        for place, each in enumerate(asked):
            needed = windowing_of(each)
            if needed != windowing:
                raise SpaceMismatch(
                    f"`{field}[{place}]` reads vectors of windows of {_told(needed)}, but "
                    f"`windowing` asks for {_told(windowing)}: leave it out, or call ClassifyAudio",
                    field=f"{field}[{place}]",
                    wanted_fingerprint=each.plans[0].space.fingerprint,
                )
        return asked

    async def classify(
        self,
        source: Source,
        asked: Sequence[Asked],
        timeline: Timeline | None = None,
        terms: Terms = ON_CALL,
    ) -> Classified:
        """One utterance in memory."""
        clock = Clock()
        async with self._embedder.admitted(terms, clock, source) as ticket:
            speech = await self._embedder.read(source, windowing_of(asked[0]), clock, ticket)
            return await self._classified(speech, asked, timeline, clock, ticket)

    async def classify_file(
        self,
        file: BinaryIO,
        source: Source,
        asked: Sequence[Asked],
        timeline: Timeline | None = None,
        terms: Terms = ON_CALL,
    ) -> Classified:
        """One upload: `file` holds its bytes, `source` says how to read them."""
        clock = Clock()
        async with (
            self._embedder.admitted(terms, clock) as ticket,
            self._embedder.opened(file, source, windowing_of(asked[0])) as speech,
        ):
            return await self._classified(speech, asked, timeline, clock, ticket)

    async def classify_vectors(
        self, name: str, vectors: Floats, fingerprints: Sequence[str], top: int
    ) -> Iterator[ProbeAnswer]:
        """Vectors (n, D) made before, in the spaces of these fingerprints, side by side.

        What is said of each, with the scores of `top` labels, is computed as it is gone through,
        which is for another thread. Raises SpaceMismatch unless these are the spaces of the probe,
        in its order.
        """
        probe = await asyncio.to_thread(self._shelf.get, name)
        wanted = [space.fingerprint for space in probe.info.spaces]
        if list(fingerprints) != wanted:
            raise SpaceMismatch(
                f"`space_fingerprints` must be those of the probe, {', '.join(wanted)}, but are "
                f"{', '.join(fingerprints)[:1000] or 'none'}",
                field="space_fingerprints",
                wanted_fingerprint=", ".join(wanted),
                given_fingerprint=", ".join(fingerprints)[:1000],
            )
        info = probe.info
        return (ProbeAnswer(info.name, info.version, said) for said in probe.each(vectors, top=top))

    def live(
        self, pcm: PcmFormat, policy: ChannelPolicy, asked: Sequence[Asked], timeline: Timeline
    ) -> LivePieces:
        """A live stream of raw PCM, to be given to `stream`."""
        return LivePieces(pcm, self._embedder.live_door(policy), timeline, windowing_of(asked[0]))

    async def stream(
        self,
        chunks: AsyncIterator[bytes],
        live: LivePieces,
        asked: Sequence[Asked],
        timeline: Timeline,
        terms: Terms = ON_CALL,
    ) -> AsyncIterator[Heard]:
        """Live PCM in any chunks; what probes say of each window as soon as it is over."""
        spans = [Spans(timeline.agree) for _ in asked]
        async with self._embedder.admitted(terms, Clock()) as ticket:
            async for chunk in chunks:
                for window in live.push(chunk):
                    yield await self._heard(window, asked, spans, ticket)
            for window in live.finish():
                yield await self._heard(window, asked, spans, ticket)

    async def _heard(
        self, window: Window, asked: Sequence[Asked], spans: Sequence[Spans], ticket: Ticket
    ) -> Heard:
        listener = Listener(asked, self._embedder.encoder)
        passed = await self._embedder.one_pass(window, listener, Clock(), ticket)
        await asyncio.to_thread(listener.add, window, passed.ran.encoded, passed.active)
        answers = await answers_of(listener)
        for each, answer in zip(spans, answers, strict=True):
            each.push(window.core.start, answer.classification)
        return Heard(window.core, answers, tuple(each.held for each in spans))

    async def _classified(
        self,
        speech: Utterance | Upload,
        asked: Sequence[Asked],
        timeline: Timeline | None,
        clock: Clock,
        ticket: Ticket,
    ) -> Classified:
        listener = Listener(asked, self._embedder.encoder, timeline)
        await self._embedder.run(speech, listener, clock, ticket)
        answers = await answers_of(listener)
        timelines = await asyncio.to_thread(listener.timelines) if timeline is not None else ()
        return Classified(
            answers=answers,
            timelines=timelines,
            warnings=speech.warnings,
            samples=listener.samples,
            frames=listener.frame_count,
            timing=clock.stop(),
        )

    def _read(self, names: Sequence[str], field: str) -> list[Probe | None]:
        return [self._shelf.get(name, f"{field}[{at}]") for at, name in enumerate(names)]

    def _asked(
        self, names: Sequence[str], probes: Sequence[Probe], field: str
    ) -> tuple[Asked, ...]:
        found = [
            Asked(name, probe, self._plans_of(probe, f"{field}[{at}]"))
            for at, (name, probe) in enumerate(zip(names, probes, strict=True))
        ]
        for place, each in enumerate(found):
            first = windowing_of(found[0])
            if windowing_of(each) != first:
                raise InvalidArgument(
                    f"`{field}` must read one windowing to be answered from one pass, but "
                    f"{names[0]!r} reads {_told(first)} and {names[place]!r} "
                    f"{_told(windowing_of(each))}: ask in two calls",
                    field=f"{field}[{place}]",
                )
        return tuple(found)

    def _plans_of(self, probe: Probe, field: str) -> tuple[Plan, ...]:
        spaces = probe.info.spaces
        kinds = {space.pooling is Pooling.NONE for space in spaces}
        windowings = {space.windowing for space in spaces}
        if len(kinds) > 1 or len(windowings) > 1:
            raise FailedPrecondition(
                f"`{field}` must read spaces that one pass makes for one span, but "
                f"{probe.info.name!r} mixes frames with vectors, or windowings",
                field=field,
            )
        return tuple(self._plan(space, field) for space in spaces)

    def _plan(self, space: Space, field: str) -> Plan:
        plan = self._plans.get(space)
        if plan is None:
            plan = self._embedder.encoder.plan_of(space, field)
            try:
                Windower(space.windowing)
            except InvalidArgument as error:
                raise SpaceMismatch(
                    f"`{field}` must be of a windowing this server makes, but is of "
                    f"{_told(space.windowing)}",
                    field=field,
                ) from error
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[space] = plan
        return plan


def windowing_of(asked: Asked) -> Windowing:
    """How audio is to be cut for a probe."""
    return asked.plans[0].space.windowing


def _told(windowing: Windowing) -> str:
    return f"{to_seconds(windowing.length):g} s + {to_seconds(windowing.context):g} s"
