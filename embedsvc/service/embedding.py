"""The EmbeddingService: speech in, vectors out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from embedsvc.errors import (
    EmbedsvcError,
    InvalidArgument,
    MessageTooLarge,
    ModelNotFound,
    StreamProtocol,
)
from embedsvc.pipeline.embedder import Clock, Wish
from embedsvc.service import convert, uploads
from embedsvc.service.backend import Backend
from embedsvc.service.convert import Style
from embedsvc.service.status import Context, item_status, stream, unary
from embedsvc.types import Embedding, Source
from embedsvc.v1 import embedding_pb2, embedding_pb2_grpc
from embedsvc.wire import audio, spaces, times


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers Embed, BatchEmbed, EmbedUpload and StreamEmbed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: Context
    ) -> embedding_pb2.EmbedResponse:
        """One utterance in, its outputs out."""
        wish, styles = self._wish(request.options)
        source = audio.source(request.audio, "audio")
        embedding = await self._backend.embedder.embed(source, wish)
        return embedding_pb2.EmbedResponse(
            embedding=convert.embedding_message(embedding, styles, request.audio.id),
            timing=times.timing_message(embedding.timing),
        )

    @unary
    async def BatchEmbed(
        self, request: embedding_pb2.BatchEmbedRequest, context: Context
    ) -> embedding_pb2.BatchEmbedResponse:
        """Many utterances, each with its own answer or error."""
        clock = Clock()
        check_batch(len(request.audios), "audios", self._backend.settings.batcher.max_batch_items)
        wish, styles = self._wish(request.options)

        async def one(place: int) -> Embedding:
            source = audio.source(request.audios[place], "audio")
            return await self._backend.embedder.embed(source, wish, patient=True)

        places = range(len(request.audios))
        answers = await asyncio.gather(*map(one, places), return_exceptions=True)
        response = embedding_pb2.BatchEmbedResponse(timing=times.timing_message(clock.stop()))
        room = int(self._backend.settings.server.max_response_bytes * convert.MESSAGE_SHARE)
        for place, answer in zip(places, answers, strict=True):
            item = _item(answer, styles, request.audios[place].id, f"audios[{place}]")
            room -= item.ByteSize()
            if room < 0 and item.HasField("embedding"):
                item = embedding_pb2.BatchEmbedItem(
                    error=item_status(_no_room(), f"audios[{place}]")
                )
            response.items.append(item)
        return response

    @unary
    async def EmbedUpload(
        self, request_iterator: AsyncIterator[embedding_pb2.EmbedUploadRequest], context: Context
    ) -> embedding_pb2.EmbedUploadResponse:
        """One long file."""
        config: embedding_pb2.EmbedUploadRequest.Config = await uploads.config_of(request_iterator)
        wish, styles = self._wish(config.options, "config.options")
        form = Source(
            b"",
            audio.pcm_format(config.pcm, "config.pcm") if config.HasField("pcm") else None,
            audio.channel_policy(config.channel_policy, "config.channel_policy"),
            config.strict,
        )
        limit = self._backend.settings.audio.max_upload_bytes
        async with uploads.gathered(request_iterator, limit) as file:
            embedding = await self._backend.embedder.embed_file(file, form, wish)
        return embedding_pb2.EmbedUploadResponse(
            embedding=convert.embedding_message(embedding, styles, config.id),
            timing=times.timing_message(embedding.timing),
        )

    @stream
    async def StreamEmbed(
        self, request_iterator: AsyncIterator[embedding_pb2.StreamEmbedRequest], context: Context
    ) -> AsyncIterator[embedding_pb2.StreamEmbedResponse]:
        """Live audio in, an embedding for each finished window out."""
        config: embedding_pb2.StreamEmbedRequest.Config = await uploads.config_of(request_iterator)
        wish, styles = self._wish(config.options, "config.options")
        if not config.HasField("pcm"):
            raise InvalidArgument("`config.pcm` must be set", field="config.pcm")
        form = audio.pcm_format(config.pcm, "config.pcm")
        policy = audio.channel_policy(config.channel_policy, "config.channel_policy")
        chunks = _chunks(request_iterator)
        async for window in self._backend.embedder.stream(chunks, form, policy, wish):
            yield embedding_pb2.StreamEmbedResponse(
                embedding=convert.embedding_message(window, styles, ""),
                span=times.span_message(window.span),
            )

    def _wish(
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
        return replace(wish, frame_limit=limit), styles


def check_batch(count: int, field: str, limit: int) -> None:
    """A batch has something in it, and not too much."""
    if not 1 <= count <= limit:
        raise InvalidArgument(
            f"`{field}` must be 1 to {limit} items, but are {count}",
            field=field,
            max_items=limit,
            items=count,
        )


async def _chunks(
    messages: AsyncIterator[embedding_pb2.StreamEmbedRequest],
) -> AsyncIterator[bytes | None]:
    """The audio of a live stream; None for a flush."""
    async for message in messages:
        match message.WhichOneof("message"):
            case "audio":
                yield message.audio
            case "flush":
                yield None
            case _:
                raise StreamProtocol("`config` must come once, and `audio` or `flush` after it")


def _item(
    answer: Embedding | BaseException,
    styles: Sequence[Style],
    id: str,
    field: str,
) -> embedding_pb2.BatchEmbedItem:
    if isinstance(answer, EmbedsvcError):
        # The place in the batch says it; the door names its argument `audio`.
        answer.field = answer.field.removeprefix("audio").removeprefix(".")
    if isinstance(answer, BaseException):
        return embedding_pb2.BatchEmbedItem(error=item_status(answer, field))
    return embedding_pb2.BatchEmbedItem(embedding=convert.embedding_message(answer, styles, id))


def _no_room() -> MessageTooLarge:
    return MessageTooLarge("the answers of this batch must fit one message; ask for fewer at once")
