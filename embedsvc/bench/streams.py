"""Live streams of a server in real time: how far text is behind speech, and how many keep up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from embedsvc.bench.figures import percentile
from embedsvc.ctc import count
from embedsvc.timing import SAMPLE_RATE, to_seconds
from embedsvc.types import Floats, PcmFormat, SampleFormat, Source, StreamMode
from embedsvc.v1 import transcription_pb2, transcription_pb2_grpc
from embedsvc.wire import enums, times
from embedsvc.wire.audio import pcm_message, source_message

CHUNK = SAMPLE_RATE // 10
_PCM = PcmFormat(SampleFormat.S16, SAMPLE_RATE)
_FULL_SCALE = 32_767
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1))
_Request = transcription_pb2.StreamTranscribeRequest
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """How streams are heard; lengths are in seconds."""

    mode: StreamMode
    interval: float
    lookahead: float = 0.0

    @property
    def name(self) -> str:
        """For people."""
        ahead = f" + {self.lookahead:g} s" if self.lookahead else ""
        return f"{self.mode}, {self.interval:g} s{ahead}"

    def config(self) -> _Request.Config:
        """For a server."""
        config = _Request.Config(
            pcm=pcm_message(_PCM),
            mode=enums.STREAM_MODE[self.mode],
            interval=times.duration(self.interval),
            events=True,
        )
        if self.lookahead:
            config.lookahead.CopyFrom(times.duration(self.lookahead))
        return config


@dataclass
class Played:
    """What came of one stream; all in seconds.

    `lags` are of each interim, from when what it heard was spoken until it was told: the server's
    part. `delays` are of each word, from its end in the speech until it was told to stay; `first`
    of each stretch, from when it began until any of its text was told. `changed` of `told` words
    that might change were others in the next interim, by the fewest edits.
    """

    audio: float = 0.0
    compute: float = 0.0
    lags: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    told: int = 0
    changed: int = 0
    code: str = "OK"


@dataclass(frozen=True)
class Load:
    """What came of so many streams at once."""

    way: str
    streams: int
    failed: int
    lag: dict[str, float]
    delay: dict[str, float]
    first: dict[str, float]
    changed: float
    rtf: float
    server_cpu: float | None


@dataclass(frozen=True)
class Capacity:
    """The most streams whose interims lagged no more than the bound, and all that was tried."""

    way: str
    most: int
    loads: tuple[Load, ...]


@dataclass(frozen=True)
class Streamed:
    """All that was measured; `offline` is engine seconds for a second of a recording."""

    offline: float
    capacities: tuple[Capacity, ...]


def pcm(samples: Floats) -> bytes:
    """Samples (N,) as 16-bit PCM."""
    return np.round(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()


async def offline(target: str, samples: Floats) -> float:
    """Engine seconds for a second of samples (N,) as a recording."""
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        stub: Any = transcription_pb2_grpc.TranscriptionServiceStub(channel)
        audio = source_message(Source(pcm(samples), _PCM))
        reply = await stub.Transcribe(transcription_pb2.TranscribeRequest(audio=audio))
    return times.seconds(reply.timing.compute) / to_seconds(len(samples))


async def play(
    target: str, way: Way, speech: Sequence[Floats], *, pace: float = 1.0, seed: int = 0
) -> list[Played]:
    """Play streams at once, each begun at a moment of its own within an interval."""
    offsets = np.random.default_rng(seed).uniform(0, way.interval, len(speech))
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        players = [
            _Player(channel, way, each, pace).run(float(offset))
            for each, offset in zip(speech, offsets, strict=True)
        ]
        return list(await asyncio.gather(*players))


class _Player:
    """One stream in real time, times `pace`."""

    def __init__(self, channel: grpc.aio.Channel, way: Way, samples: Floats, pace: float) -> None:
        self._stub: Any = transcription_pb2_grpc.TranscriptionServiceStub(channel)
        self._way = way
        self._samples = samples
        self._pace = pace
        self._started = 0.0
        self._played = Played(audio=to_seconds(len(samples)))
        self._began = 0.0
        self._stable = 0
        self._open: list[str] = []

    async def run(self, offset: float) -> Played:
        await asyncio.sleep(offset)
        self._started = time.perf_counter()
        call = self._stub.StreamTranscribe(self._requests())
        try:
            async for reply in call:
                self._take(reply)
        except grpc.aio.AioRpcError as error:
            self._played.code = error.code().name
        return self._played

    async def _requests(self) -> AsyncIterator[_Request]:
        yield _Request(config=self._way.config())
        for place in range(0, len(self._samples), CHUNK):
            part = self._samples[place : place + CHUNK]
            due = self._started + to_seconds(place + len(part)) / self._pace
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield _Request(audio=pcm(part))

    def _now(self) -> float:
        """Seconds of the stream."""
        return (time.perf_counter() - self._started) * self._pace

    def _take(self, reply: transcription_pb2.StreamTranscribeResponse) -> None:
        match reply.WhichOneof("message"):
            case "interim":
                self._interim(reply.interim)
            case "final":
                words = [word for each in reply.final.segments for word in each.words]
                self._told(words)
                self._stable, self._open = 0, []
            case "event" if reply.event.kind == transcription_pb2.SPEECH_EVENT_KIND_BEGAN:
                self._began = times.seconds(reply.event.time)
            case "end":
                self._played.compute = times.seconds(reply.end.timing.compute)

    def _interim(self, interim: transcription_pb2.StreamTranscribeResponse.Interim) -> None:
        if not self._stable and not self._open and (interim.stable_text or interim.unstable_text):
            self._played.first.append(self._now() - self._began)
        stable = [word.text for word in interim.stable_words]
        now = stable[self._stable :] + interim.unstable_text.split()
        self._played.told += len(self._open)
        edits = count(now, self._open)
        self._played.changed += edits.substituted + edits.deleted
        ahead = times.seconds(interim.heard.end) + self._way.lookahead
        self._played.lags.append(self._now() - ahead)
        self._told(interim.stable_words)
        self._open = interim.unstable_text.split()

    def _told(self, words: Sequence[transcription_pb2.Word]) -> None:
        """Words that stay from now on; those that a final changed are not counted again."""
        now = self._now()
        for word in words[self._stable :]:
            self._played.delays.append(now - times.seconds(word.span.end))
        self._stable = max(self._stable, len(words))


def load(way: Way, played: Sequence[Played], server_cpu: float | None) -> Load:
    """The figures of streams that were played at once."""
    good = [each for each in played if each.code == "OK"]
    told = sum(each.told for each in good)
    return Load(
        way.name,
        len(played),
        len(played) - len(good),
        _percentiles([lag for each in good for lag in each.lags]),
        _percentiles([delay for each in good for delay in each.delays]),
        _percentiles([delay for each in good for delay in each.first]),
        sum(each.changed for each in good) / told if told else 0.0,
        sum(each.compute for each in good) / max(1e-9, sum(each.audio for each in good)),
        server_cpu,
    )


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{each}": percentile(values, each) for each in (50, 95)} if values else {}


def most(measure: Callable[[int], Load], bound: float, limit: int) -> tuple[int, tuple[Load, ...]]:
    """The most streams of which 95 % of interims lag at most `bound` seconds, and what was tried.

    Doubles until it is too much, then halves the gap.
    """
    loads: list[Load] = []

    def fits(streams: int) -> bool:
        loads.append(measure(streams))
        found = loads[-1]
        return not found.failed and found.lag.get("p95", 0.0) <= bound

    good, bad = 0, 1
    while bad <= limit and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, limit + 1)
    while bad - good > max(1, good // 8):
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good, tuple(loads)
