"""BatchTranscribe and ListTranscripts: many files in, what came of each out."""

import asyncio
from collections.abc import AsyncIterator

from google.longrunning import operations_pb2

from embedsvc.errors import InvalidArgument, StreamProtocol
from embedsvc.operations import Operation
from embedsvc.pipeline.batch_folder import Sent
from embedsvc.pipeline.batch_transcribing import KIND, Order
from embedsvc.pipeline.threads import ended_apart
from embedsvc.service import convert, operations, paging, written
from embedsvc.service.backend import Backend
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import audio

ADVICE = "set `omit_words`"


async def begin(
    backend: Backend,
    order: Order,
    messages: AsyncIterator[transcription_pb2.BatchTranscribeRequest],
) -> operations_pb2.Operation:
    """Gather the files that follow the config, then begin to write them down."""
    batches, ongoing = backend.batches, backend.operations
    async with ended_apart(batches.gathering()) as gathering:
        with ongoing.place():
            async for message in messages:
                match message.WhichOneof("message"):
                    case "file":
                        await asyncio.to_thread(gathering.next, _sent(message.file))
                    case "audio":
                        await asyncio.to_thread(gathering.write, message.audio)
                    case _:
                        raise StreamProtocol("`config` must come once, and only files after it")
            await asyncio.to_thread(gathering.finish)
        begun = await batches.begin(ongoing, order, gathering)
    return await operations.message(backend, begun)


async def page(
    backend: Backend, request: transcription_pb2.ListTranscriptsRequest
) -> transcription_pb2.ListTranscriptsResponse:
    """Results of a batch, as many as a message takes."""
    id = operations.id_of(request.operation, "operation")
    operation = backend.operations.get(id)
    if operation.kind != KIND:
        raise InvalidArgument(
            f"`operation` must be of BatchTranscribe, but is of kind {operation.kind!r}",
            field="operation",
        )
    return await asyncio.to_thread(_page, backend, request, operation)


def _page(
    backend: Backend, request: transcription_pb2.ListTranscriptsRequest, operation: Operation
) -> transcription_pb2.ListTranscriptsResponse:
    listing = f"transcripts/{operation.id}"
    size = convert.page_size(request.page_size)
    first = paging.place(request.page_token, listing)
    most = backend.settings.server.max_response_bytes
    room = int(most * convert.MESSAGE_SHARE)
    batch = backend.batches.batch(operation)
    files = batch.files()
    response = transcription_pb2.ListTranscriptsResponse()
    at = min(first, len(files))
    for sent in files[at : at + size]:
        result = batch.result(at)
        if result is None:
            break
        message = written.file_message(sent.id, result, words=not request.omit_words)
        room -= message.ByteSize()
        if room < 0 and response.transcripts:
            break
        response.transcripts.append(message)
        at += 1
    # One that has ended early has no more than it has.
    if at < len(files) and not (operation.done and batch.result(at) is None):
        response.next_page_token = paging.token(str(at), listing)
    return convert.fitting(response, most, ADVICE)


def _sent(message: transcription_pb2.BatchTranscribeRequest.File) -> Sent:
    return Sent(
        message.id,
        audio.pcm_format(message.pcm, "file.pcm") if message.HasField("pcm") else None,
        audio.channel_policy(message.channel_policy, "file.channel_policy"),
        message.strict,
    )
