"""The TranscriptionService: what a CTC head writes of audio."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from google.longrunning import operations_pb2

from embedsvc.ctc import encode
from embedsvc.encoder.ctc import CtcHead
from embedsvc.errors import FeatureDisabled, InvalidArgument
from embedsvc.pipeline.batch_transcribing import Order
from embedsvc.pipeline.transcriber import WINDOWING, Ended, Task
from embedsvc.service import batch_transcription, convert, live_transcription, streams
from embedsvc.service.backend import Backend
from embedsvc.service.status import Context, stream, unary
from embedsvc.service.style import Style
from embedsvc.service.terms import chosen_lane, terms
from embedsvc.types import DecodeOptions, Lane, Source, TranscriptSegment
from embedsvc.v1 import transcription_pb2, transcription_pb2_grpc
from embedsvc.wire import audio, enums, probes, times, transcripts

_ADVICE = "ask for fewer alternatives, set `omit_words`, or call TranscribeUpload"


class TranscriptionServicer(transcription_pb2_grpc.TranscriptionServiceServicer):
    """Answers everything about transcripts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def ListHeads(
        self, request: transcription_pb2.ListHeadsRequest, context: Context
    ) -> transcription_pb2.ListHeadsResponse:
        """What the server writes with."""
        infos = self._backend.heads.infos()
        return transcription_pb2.ListHeadsResponse(heads=map(transcripts.head_message, infos))

    @unary
    async def Transcribe(
        self, request: transcription_pb2.TranscribeRequest, context: Context
    ) -> transcription_pb2.TranscribeResponse:
        """One utterance in, its text out."""
        task, style = await self._task(request), Style(request.options, "options.")
        lane = chosen_lane(request.lane, "lane", Lane.INTERACTIVE)
        came = terms(context, lane, patient=False)
        source = audio.source(request.audio, "audio")
        segments, ended = await self._backend.transcriber.transcribe(source, task, came)
        # Ten minutes are thousands of tokens, whose messages take tenths of a second.
        response, seconds = await asyncio.to_thread(
            convert.timed, _response, segments, ended, task, style
        )
        response.id = request.audio.id
        response.timing.CopyFrom(times.timing_message(ended.timing.written(seconds)))
        return convert.fitting(response, self._most_bytes, _ADVICE)

    @stream
    async def TranscribeUpload(
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[transcription_pb2.TranscribeUploadResponse]:
        """One long file in, each segment out when it is over."""
        kind = transcription_pb2.TranscribeUploadResponse
        config: transcription_pb2.TranscribeUploadRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        task, style = await self._task(config, "config."), Style(config.options, "config.options.")
        came = terms(context, chosen_lane(config.lane, "config.lane", Lane.BULK), patient=True)
        form = Source(
            b"",
            audio.pcm_format(config.pcm, "config.pcm") if config.HasField("pcm") else None,
            audio.channel_policy(config.channel_policy, "config.channel_policy"),
            config.strict,
        )
        async with streams.gathered(rest, self._backend.uploads) as file:
            found = self._backend.transcriber.transcribe_file(file, form, task, came)
            async with aclosing(found):
                async for each in found:
                    if isinstance(each, Ended):
                        yield kind(end=_end(each, task))
                    else:
                        yield convert.fitting(
                            kind(segment=style.message(each)), self._most_bytes, _ADVICE
                        )

    @stream
    async def StreamTranscribe(
        self, request_iterator: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[transcription_pb2.StreamTranscribeResponse]:
        """Live audio in, text out while it is said."""
        server = self._backend.settings.server
        config: transcription_pb2.StreamTranscribeRequest.Config
        config, rest = await streams.opened(request_iterator, server, live_transcription.ADVICE)
        head, options = self._writing(config, "config.")
        style = Style(config.options, "config.options.")
        lane = chosen_lane(config.lane, "config.lane", Lane.INTERACTIVE)
        came = terms(context, lane, patient=True)
        language = self._backend.heads.written_language(head, config.language_code)
        task = Task(head, options, language=language)
        stream = live_transcription.Stream(config, task, style)
        transcriber = self._backend.live_transcriber
        live = stream.opened(transcriber)
        async with aclosing(transcriber.stream(streams.chunks(rest), live, came)) as found:
            async for each in found:
                response = stream.response(each)
                if response is not None:
                    yield response

    @unary
    async def Align(
        self, request: transcription_pb2.AlignRequest, context: Context
    ) -> transcription_pb2.AlignResponse:
        """One utterance and its text in, times out."""
        head = self._backend.heads.chosen(request.head, request.language_code)
        lane = chosen_lane(request.lane, "lane", Lane.INTERACTIVE)
        came = terms(context, lane, patient=False)
        source = audio.source(request.audio, "audio")
        _spelled(request.text, head, "text")
        segment, ended = await self._backend.transcriber.align(source, request.text, head, came)
        language = self._backend.heads.written_language(head, request.language_code)
        response, seconds = await asyncio.to_thread(
            convert.timed, _aligned, segment, ended, head, language
        )
        response.id = request.audio.id
        response.timing.CopyFrom(times.timing_message(ended.timing.written(seconds)))
        return convert.fitting(response, self._most_bytes, "align shorter audio")

    @unary
    async def BatchTranscribe(
        self,
        request_iterator: AsyncIterator[transcription_pb2.BatchTranscribeRequest],
        context: Context,
    ) -> operations_pb2.Operation:
        """Gather files, then begin to write them down."""
        config: transcription_pb2.BatchTranscribeRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        head, options = self._writing(config, "config.")
        order = Order(
            head.info.name,
            options,
            chosen_lane(config.lane, "config.lane", Lane.BULK),
            transcripts.threshold(config.options, "config.options.low_confidence"),
            not config.options.omit_words,
            self._backend.heads.written_language(head, config.language_code),
        )
        return await batch_transcription.begin(self._backend, order, rest)

    @unary
    async def ListTranscripts(
        self, request: transcription_pb2.ListTranscriptsRequest, context: Context
    ) -> transcription_pb2.ListTranscriptsResponse:
        """What came of each file of a batch."""
        return await batch_transcription.page(self._backend, request)

    @property
    def _most_bytes(self) -> int:
        return self._backend.settings.server.max_response_bytes

    async def _task(self, request: Any, prefix: str = "") -> Task:
        """What a request asks for; raises for a head, option or probe that is none."""
        head, options = self._writing(request, prefix)
        language = self._backend.heads.written_language(head, request.language_code)
        if not request.probes:
            return Task(head, options, language=language)
        field = f"{prefix}probes"
        names = probes.names(request.probes, field)
        asked = await self._backend.classifier.fitting(names, WINDOWING, field)
        return Task(head, options, asked, language)

    def _writing(self, request: Any, prefix: str) -> tuple[CtcHead, DecodeOptions]:
        """The head that is asked for, and how its text is to be found."""
        head = self._backend.heads.chosen(request.head, request.language_code, prefix)
        return head, _decoding(request.options, head, prefix)


def _decoding(
    message: transcription_pb2.DecodeOptions, head: CtcHead, prefix: str
) -> DecodeOptions:
    """How text is to be found; raises for what the head cannot do."""
    options = transcripts.options(message, f"{prefix}options")
    for place, hot in enumerate(options.hot_words):
        _spelled(hot.text, head, f"{prefix}options.hot_words[{place}].text")
    if head.language_model is None:
        _unweighted(options, head, f"{prefix}options")
    return options


def _unweighted(options: DecodeOptions, head: CtcHead, field: str) -> None:
    """Raise FeatureDisabled for weights of a language model, of a head that has none to use."""
    known = head.info.language_model
    for name in ("lm_weight", "word_bonus"):
        if getattr(options, name) is not None:
            why = f"has one that needs `{known.missing}`" if known else "has none"
            raise FeatureDisabled(
                f"`{field}.{name}` must be absent without a language model: "
                f"the head {head.info.name!r} {why}",
                field=f"{field}.{name}",
            )


def _spelled(text: str, head: CtcHead, field: str) -> None:
    """Raise InvalidArgument for a text that the labels of the head do not spell."""
    try:
        encode(text, head.vocabulary)
    except InvalidArgument as error:
        raise error.named(field) from error


def _response(
    segments: Sequence[TranscriptSegment], ended: Ended, task: Task, style: Style
) -> transcription_pb2.TranscribeResponse:
    head = task.head
    return transcription_pb2.TranscribeResponse(
        segments=map(style.message, segments),
        warnings=audio.warning_messages(ended.warnings),
        usage=audio.usage_message(ended.samples, ended.frames),
        head=head.info.name,
        kind=enums.HEAD_KIND[head.info.kind],
        classifications=map(probes.answer_message, ended.answers),
        language_code=task.language,
    )


def _aligned(
    segment: TranscriptSegment, ended: Ended, head: CtcHead, language: str
) -> transcription_pb2.AlignResponse:
    return transcription_pb2.AlignResponse(
        segment=transcripts.segment_message(segment),
        warnings=audio.warning_messages(ended.warnings),
        usage=audio.usage_message(ended.samples, ended.frames),
        head=head.info.name,
        kind=enums.HEAD_KIND[head.info.kind],
        language_code=language,
    )


def _end(ended: Ended, task: Task) -> transcription_pb2.TranscribeUploadResponse.End:
    head = task.head
    return transcription_pb2.TranscribeUploadResponse.End(
        warnings=audio.warning_messages(ended.warnings),
        usage=audio.usage_message(ended.samples, ended.frames),
        timing=times.timing_message(ended.timing),
        head=head.info.name,
        kind=enums.HEAD_KIND[head.info.kind],
        classifications=map(probes.answer_message, ended.answers),
        language_code=task.language,
    )
