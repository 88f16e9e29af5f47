"""What the ProbeService says of audio and vectors."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar

from embedsvc.errors import InvalidArgument, StreamProtocol
from embedsvc.pipeline.classifier import Classified
from embedsvc.pipeline.listening import Asked
from embedsvc.service import convert, streams
from embedsvc.service.backend import Backend
from embedsvc.service.status import Context, stream, unary
from embedsvc.service.terms import chosen_lane, terms
from embedsvc.types import Lane, ProbeAnswer, Source, Timeline
from embedsvc.v1 import probe_pb2, probe_pb2_grpc
from embedsvc.wire import audio, probes, tensors, times

MOST_VECTORS = 10_000

Reply = TypeVar("Reply", probe_pb2.ClassifyAudioResponse, probe_pb2.ClassifyUploadResponse)

_ADVICE = "ask for fewer scores, longer windows or fewer probes"


class Classifying(probe_pb2_grpc.ProbeServiceServicer):
    """Answers ClassifyAudio, ClassifyUpload, ClassifyVectors and StreamClassify."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def ClassifyAudio(
        self, request: probe_pb2.ClassifyAudioRequest, context: Context
    ) -> probe_pb2.ClassifyAudioResponse:
        """One utterance in, what each probe says of it out."""
        asked = await self._asked(request.probes, "probes")
        timeline = _timeline(request, "timeline")
        came = terms(context, chosen_lane(request.lane, "lane", Lane.INTERACTIVE), patient=False)
        source = audio.source(request.audio, "audio")
        found = await self._backend.classifier.classify(source, asked, timeline, came)
        return await self._reply(probe_pb2.ClassifyAudioResponse(), found, asked, request.top_n)

    @unary
    async def ClassifyUpload(
        self, request_iterator: AsyncIterator[probe_pb2.ClassifyUploadRequest], context: Context
    ) -> probe_pb2.ClassifyUploadResponse:
        """One long file in, what each probe says of it out."""
        config: probe_pb2.ClassifyUploadRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        asked = await self._asked(config.probes, "config.probes")
        timeline = _timeline(config, "config.timeline")
        lane = chosen_lane(config.lane, "config.lane", Lane.BULK)
        came = terms(context, lane, patient=True)
        form = Source(
            b"",
            audio.pcm_format(config.pcm, "config.pcm") if config.HasField("pcm") else None,
            audio.channel_policy(config.channel_policy, "config.channel_policy"),
            config.strict,
        )
        async with streams.gathered(rest, self._backend.uploads) as file:
            classifier = self._backend.classifier
            found = await classifier.classify_file(file, form, asked, timeline, came)
        return await self._reply(probe_pb2.ClassifyUploadResponse(), found, asked, config.top_n)

    @unary
    async def ClassifyVectors(
        self, request: probe_pb2.ClassifyVectorsRequest, context: Context
    ) -> probe_pb2.ClassifyVectorsResponse:
        """Vectors in, what a probe says of each out."""
        vectors = tensors.array(request.vectors, "vectors", dimensions=2)
        if not 1 <= len(vectors) <= MOST_VECTORS:
            raise InvalidArgument(
                f"`vectors` must be 1 to {MOST_VECTORS}, but are {len(vectors)}", field="vectors"
            )
        top, most = request.top_n or probes.TOP_N, self._most_bytes
        answers = await self._backend.classifier.classify_vectors(
            request.probe, vectors, request.space_fingerprints, top
        )
        response = await asyncio.to_thread(_vectors_message, answers, top, most)
        return convert.fitting(response, most, "ask for fewer at once")

    @stream
    async def StreamClassify(
        self, request_iterator: AsyncIterator[probe_pb2.StreamClassifyRequest], context: Context
    ) -> AsyncIterator[probe_pb2.StreamClassifyResponse]:
        """Live audio in, what each probe says of each window out."""
        config: probe_pb2.StreamClassifyRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        asked = await self._asked(config.probes, "config.probes")
        timeline = _timeline(config, "config.timeline") or Timeline()
        if not config.HasField("pcm"):
            raise InvalidArgument("`config.pcm` must be set", field="config.pcm")
        form = audio.pcm_format(config.pcm, "config.pcm")
        policy = audio.channel_policy(config.channel_policy, "config.channel_policy")
        came = terms(
            context, chosen_lane(config.lane, "config.lane", Lane.INTERACTIVE), patient=True
        )
        classifier = self._backend.classifier
        live = classifier.live(form, policy, asked, timeline)
        heard = classifier.stream(_chunks(rest), live, asked, timeline, came)
        async for each in heard:
            yield probe_pb2.StreamClassifyResponse(
                span=times.span_message(each.span),
                classifications=[
                    probes.answer_message(answer, config.top_n) for answer in each.answers
                ],
                labels=[", ".join(labels) for labels in each.held],
            )

    @property
    def _most_bytes(self) -> int:
        return self._backend.settings.server.max_response_bytes

    async def _asked(self, names: Iterable[str], field: str) -> tuple[Asked, ...]:
        return await self._backend.classifier.asked(probes.names(names, field), field)

    async def _reply(
        self, response: Reply, found: Classified, asked: Sequence[Asked], top_n: int
    ) -> Reply:
        if found.timelines:  # spans of hours are seconds of work
            _, seconds = await asyncio.to_thread(
                convert.timed, _fill, response, found, asked, top_n
            )
        else:
            _, seconds = convert.timed(_fill, response, found, asked, top_n)
        response.timing.CopyFrom(times.timing_message(found.timing.written(seconds)))
        return convert.fitting(response, self._most_bytes, _ADVICE)


def _fill(response: Any, found: Classified, asked: Sequence[Asked], top_n: int) -> None:
    """Write what was found into a reply."""
    response.warnings.extend(audio.warning_messages(found.warnings))
    response.usage.CopyFrom(audio.usage_message(found.samples, found.frames))
    response.classifications.extend(
        probes.answer_message(answer, top_n) for answer in found.answers
    )
    if found.timelines:
        response.timelines.extend(
            probes.timeline_answer_message(each.name, spans, top_n)
            for each, spans in zip(asked, found.timelines, strict=True)
        )


def _vectors_message(
    answers: Iterable[ProbeAnswer], top_n: int, most_bytes: int
) -> probe_pb2.ClassifyVectorsResponse:
    """A reply; what is more than may be sent ends it, to be refused."""
    response = probe_pb2.ClassifyVectorsResponse()
    for each in answers:
        message = probes.answer_message(each, top_n)
        response.classifications.append(message)
        most_bytes -= message.ByteSize()
        if most_bytes < 0:
            break
    return response


def _timeline(message: Any, field: str) -> Timeline | None:
    return probes.timeline(message.timeline, field) if message.HasField("timeline") else None


async def _chunks(
    messages: AsyncIterator[probe_pb2.StreamClassifyRequest],
) -> AsyncIterator[bytes]:
    """The audio of a live stream."""
    async for message in messages:
        if message.WhichOneof("message") != "audio":
            raise StreamProtocol("`config` must come once, and only `audio` after it")
        yield message.audio
