"""The EmbeddingService: speech in, vectors out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from embedsvc.errors import (
    EmbedsvcError,
    InvalidArgument,
    MessageTooLarge,
    ModelNotFound,
)
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import Wish
from embedsvc.service import convert, streams
from embedsvc.service.backend import Backend
from embedsvc.service.convert import Style
from embedsvc.service.status import Context, item_status, stream, unary
from embedsvc.service.terms import chosen_lane, terms
from embedsvc.types import Embedding, Lane, Source
from embedsvc.v1 import embedding_pb2, embedding_pb2_grpc
from embedsvc.wire import audio, probes, spaces, times


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers Embed, BatchEmbed, EmbedUpload and StreamEmbed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: Context
    ) -> embedding_pb2.EmbedResponse:
        """One utterance in, its outputs out."""
        wish, styles = await self._wish(request.options)
        came = terms(context, _lane(request.options, Lane.INTERACTIVE), patient=False)
        source = audio.source(request.audio, "audio")
        embedding = await self._backend.embedder.embed(source, wish, came)
        message, seconds = convert.timed(
            convert.embedding_message, embedding, styles, request.audio.id
        )
        self._check_size(message)
        timing = times.timing_message(embedding.timing.written(seconds))
        return embedding_pb2.EmbedResponse(embedding=message, timing=timing)

    @unary
    async def BatchEmbed(
        self, request: embedding_pb2.BatchEmbedRequest, context: Context
    ) -> embedding_pb2.BatchEmbedResponse:
        """Many utterances, each with its own answer or error."""
        clock = Clock()
        check_batch(len(request.audios), "audios", self._backend.settings.batcher.max_batch_items)
        wish, styles = await self._wish(request.options)
        came = terms(context, _lane(request.options, Lane.NORMAL), patient=True)

        async def one(place: int) -> Embedding:
            source = audio.source(request.audios[place], "audio")
            return await self._backend.embedder.embed(source, wish, came)

        places = range(len(request.audios))
        answers = await asyncio.gather(*map(one, places), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Embedding):
                clock.add(answer.timing)
        timing = clock.stop()
        ids = [each.id for each in request.audios]
        limit = self._backend.settings.server.max_response_bytes
        response, seconds = convert.timed(_batch, answers, ids, styles, limit)
        response.timing.CopyFrom(times.timing_message(timing.written(seconds)))
        return response

    @unary
    async def EmbedUpload(
        self, request_iterator: AsyncIterator[embedding_pb2.EmbedUploadRequest], context: Context
    ) -> embedding_pb2.EmbedUploadResponse:
        """One long file."""
        config: embedding_pb2.EmbedUploadRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        wish, styles = await self._wish(config.options, "config.options")
        came = terms(context, _lane(config.options, Lane.BULK, "config.options"), patient=True)
        form = _form(config)
        async with streams.gathered(rest, self._backend.uploads) as file:
            embedding = await self._backend.embedder.embed_file(file, form, wish, came)
        message, seconds = convert.timed(convert.embedding_message, embedding, styles, config.id)
        self._check_size(message)
        timing = times.timing_message(embedding.timing.written(seconds))
        return embedding_pb2.EmbedUploadResponse(embedding=message, timing=timing)

    @stream
    async def EmbedWindows(
        self, request_iterator: AsyncIterator[embedding_pb2.EmbedUploadRequest], context: Context
    ) -> AsyncIterator[embedding_pb2.StreamEmbedResponse]:
        """One long file in, an embedding for each finished window out."""
        config: embedding_pb2.EmbedUploadRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        wish, styles = await self._wish(config.options, "config.options")
        _check_whole(wish, "config.options")
        came = terms(context, _lane(config.options, Lane.BULK, "config.options"), patient=True)
        embedder = self._backend.embedder
        async with (
            streams.gathered(rest, self._backend.uploads) as file,
            aclosing(embedder.embed_windows(file, _form(config), wish, came)) as windows,
        ):
            async for window in windows:
                yield embedding_pb2.StreamEmbedResponse(
                    embedding=convert.embedding_message(window, styles, config.id),
                    span=times.span_message(window.span),
                )

    @stream
    async def StreamEmbed(
        self, request_iterator: AsyncIterator[embedding_pb2.StreamEmbedRequest], context: Context
    ) -> AsyncIterator[embedding_pb2.StreamEmbedResponse]:
        """Live audio in, an embedding for each finished window out."""
        config: embedding_pb2.StreamEmbedRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        wish, styles = await self._wish(config.options, "config.options")
        _check_whole(wish, "config.options")
        if not config.HasField("pcm"):
            raise InvalidArgument("`config.pcm` must be set", field="config.pcm")
        form = audio.pcm_format(config.pcm, "config.pcm")
        policy = audio.channel_policy(config.channel_policy, "config.channel_policy")
        came = terms(
            context, _lane(config.options, Lane.INTERACTIVE, "config.options"), patient=True
        )
        embedder = self._backend.embedder
        live = embedder.live(form, policy, wish)
        async for window in embedder.stream(streams.chunks(rest), live, wish, came):
            yield embedding_pb2.StreamEmbedResponse(
                embedding=convert.embedding_message(window, styles, ""),
                span=times.span_message(window.span),
            )

    async def _wish(
        self, options: embedding_pb2.EmbedOptions, field: str = "options"
    ) -> tuple[Wish, list[Style]]:
        embedder = self._backend.embedder
        if options.model and options.model != embedder.encoder.name:
            raise ModelNotFound(
                f"`{field}.model` must be empty or {embedder.encoder.name!r}, the model of this "
                f"server, but is {options.model!r}",
                field=f"{field}.model",
                name=options.model,
            )
        windowing = spaces.windowing(options.windowing, f"{field}.windowing")
        specs = convert.specs(options, field)
        wish = embedder.wish(specs, windowing, f"{field}.outputs[{{}}]")
        styles = convert.styles(options, wish, field)
        limit = convert.frame_limit(wish, styles, self._backend.settings.server.max_response_bytes)
        names = probes.names(options.probes, f"{field}.probes", least=0)
        asked = await self._backend.classifier.fitting(names, windowing, f"{field}.probes")
        cut = convert.segmentation(options, field)
        return replace(wish, frame_limit=limit, segmentation=cut, asked=asked), styles

    def _check_size(self, message: embedding_pb2.Embedding) -> None:
        """Frames are counted as they come; rows of segments are known at the end."""
        if any(output.segments for output in message.outputs):
            limit = int(self._backend.settings.server.max_response_bytes * convert.MESSAGE_SHARE)
            convert.fitting(message, limit, "ask for longer segments, FLOAT16 or fewer outputs")


def _form(config: embedding_pb2.EmbedUploadRequest.Config) -> Source:
    """How to read an upload, whose bytes are in a file."""
    return Source(
        b"",
        audio.pcm_format(config.pcm, "config.pcm") if config.HasField("pcm") else None,
        audio.channel_policy(config.channel_policy, "config.channel_policy"),
        config.strict,
    )


def _check_whole(wish: Wish, field: str) -> None:
    """What answers window by window cannot answer by segments."""
    if wish.segmentation is not None:
        raise InvalidArgument(
            f"`{field}.segment_length` must be absent where each window has its answer",
            field=f"{field}.segment_length",
        )


def _lane(options: embedding_pb2.EmbedOptions, default: Lane, field: str = "options") -> Lane:
    return chosen_lane(options.lane, f"{field}.lane", default)


def check_batch(count: int, field: str, limit: int) -> None:
    """A batch has something in it, and not too much."""
    if not 1 <= count <= limit:
        raise InvalidArgument(
            f"`{field}` must be 1 to {limit} items, but are {count}",
            field=field,
            max_items=limit,
            items=count,
        )


def _batch(
    answers: Sequence[Embedding | BaseException],
    ids: Sequence[str],
    styles: Sequence[Style],
    max_bytes: int,
) -> embedding_pb2.BatchEmbedResponse:
    """The answers as a message, as many as fit it."""
    response = embedding_pb2.BatchEmbedResponse()
    room = int(max_bytes * convert.MESSAGE_SHARE)
    for place, (answer, name) in enumerate(zip(answers, ids, strict=True)):
        item = _item(answer, styles, name, f"audios[{place}]")
        room -= item.ByteSize()
        if room < 0 and item.HasField("embedding"):
            item = embedding_pb2.BatchEmbedItem(error=item_status(_no_room(), f"audios[{place}]"))
        response.items.append(item)
    return response


def _item(
    answer: Embedding | BaseException,
    styles: Sequence[Style],
    id: str,
    field: str,
) -> embedding_pb2.BatchEmbedItem:
    if isinstance(answer, EmbedsvcError):
        # The place in the batch says it; the door names its argument `audio`.
        answer = answer.named(answer.field.removeprefix("audio").removeprefix("."))
    if isinstance(answer, BaseException):
        return embedding_pb2.BatchEmbedItem(error=item_status(answer, field))
    return embedding_pb2.BatchEmbedItem(embedding=convert.embedding_message(answer, styles, id))


def _no_room() -> MessageTooLarge:
    return MessageTooLarge("the answers of this batch must fit one message; ask for fewer at once")
