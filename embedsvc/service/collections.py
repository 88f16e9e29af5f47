"""The CollectionService: keeps recordings to search in."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from google.longrunning import operations_pb2

from embedsvc.batching import Terms
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.index import WriteMode
from embedsvc.pipeline import fitting
from embedsvc.pipeline.ready import ReadySpace, ReadyVectors
from embedsvc.pipeline.receipts import Written
from embedsvc.pipeline.second_stage import MomentChoice
from embedsvc.pipeline.submitting import Submission, WriteOptions
from embedsvc.service import convert, operations, paging, streams
from embedsvc.service.backend import Backend
from embedsvc.service.embedding import check_batch
from embedsvc.service.status import Context, item_status, naming, unary
from embedsvc.service.terms import chosen_lane, terms
from embedsvc.timing import FRAME
from embedsvc.types import Lane, OutputSpec, Segment, Source, Span
from embedsvc.v1 import collection_pb2, collection_pb2_grpc, types_pb2
from embedsvc.wire import audio, metadata, spaces, tensors, texts, times

_MODES: Mapping[int, WriteMode] = {
    collection_pb2.WRITE_MODE_UNSPECIFIED: WriteMode.UPSERT,
    collection_pb2.WRITE_MODE_UPSERT: WriteMode.UPSERT,
    collection_pb2.WRITE_MODE_INSERT: WriteMode.INSERT,
    collection_pb2.WRITE_MODE_UPDATE: WriteMode.UPDATE,
}


class CollectionServicer(collection_pb2_grpc.CollectionServiceServicer):
    """Answers everything about collections and their recordings."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def CreateCollection(
        self, request: collection_pb2.CreateCollectionRequest, context: Context
    ) -> collection_pb2.CreateCollectionResponse:
        """A new, empty collection."""
        with naming(collection="name"):
            info = await self._backend.library.create(
                request.name,
                _specs(request),
                spaces.windowing(request.windowing, "windowing"),
                spaces.segmentation(request.segmentation, "segmentation"),
                spaces.space(request.foreign_space, "foreign_space")
                if request.HasField("foreign_space")
                else None,
                _moments(request.moments) if request.HasField("moments") else None,
                texts.asked(request.texts, "texts") if request.HasField("texts") else None,
            )
        return collection_pb2.CreateCollectionResponse(collection=convert.collection_message(info))

    @unary
    async def GetCollection(
        self, request: collection_pb2.GetCollectionRequest, context: Context
    ) -> collection_pb2.GetCollectionResponse:
        """A collection as it is now."""
        with naming(collection="name"):
            info = await self._backend.library.info(request.name)
        return collection_pb2.GetCollectionResponse(collection=convert.collection_message(info))

    @unary
    async def ListCollections(
        self, request: collection_pb2.ListCollectionsRequest, context: Context
    ) -> collection_pb2.ListCollectionsResponse:
        """All collections, by name."""
        size = convert.page_size(request.page_size)
        after = paging.cursor(request.page_token, "collections")
        infos = await self._backend.library.collections(after, size + 1)
        more = len(infos) > size
        return collection_pb2.ListCollectionsResponse(
            collections=map(convert.collection_message, infos[:size]),
            next_page_token=paging.token(infos[size - 1].name, "collections") if more else "",
        )

    @unary
    async def DeleteCollection(
        self, request: collection_pb2.DeleteCollectionRequest, context: Context
    ) -> collection_pb2.DeleteCollectionResponse:
        """A collection and all it holds, gone."""
        with naming(collection="name"):
            await self._backend.library.delete_collection(
                request.name, allow_missing=request.allow_missing
            )
        return collection_pb2.DeleteCollectionResponse()

    @unary
    async def AddRecordings(
        self, request: collection_pb2.AddRecordingsRequest, context: Context
    ) -> collection_pb2.AddRecordingsResponse:
        """Recordings, each with its own result; what is answered is durable."""
        limit = self._backend.settings.batcher.max_batch_items
        check_batch(len(request.recordings), "recordings", limit)
        submissions = [_submission(recording) for recording in request.recordings]
        options = WriteOptions(
            mode=_mode(request.mode, "mode"),
            skip_unchanged=request.skip_unchanged,
            request_id=request.request_id,
            request_digest=paging.digest_of(request, "request_id") if request.request_id else "",
            terms=terms(context, chosen_lane(request.lane, "lane", Lane.NORMAL), patient=True),
        )
        written = await self._backend.library.add(request.collection, submissions, options)
        results, seconds = convert.timed(_results, written)
        return collection_pb2.AddRecordingsResponse(
            results=results,
            sequence=written.sequence,
            usage=_usage(written),
            timing=times.timing_message(written.timing.written(seconds)),
        )

    @unary
    async def UploadRecording(
        self,
        request_iterator: AsyncIterator[collection_pb2.UploadRecordingRequest],
        context: Context,
    ) -> collection_pb2.UploadRecordingResponse:
        """One long recording."""
        config: collection_pb2.UploadRecordingRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        names = {name: f"config.{name}" for name in ("collection", "id", "metadata", "request_id")}
        with naming(**names):
            lane = chosen_lane(config.lane, "config.lane", Lane.BULK)
            came = terms(context, lane, patient=True)
            written = await self._upload(config, rest, came)
            (stored,) = written.results
            if stored.error:
                raise stored.error
        result, seconds = convert.timed(convert.result_message, stored)
        return collection_pb2.UploadRecordingResponse(
            result=result,
            sequence=written.sequence,
            usage=_usage(written),
            timing=times.timing_message(written.timing.written(seconds)),
        )

    @unary
    async def FitTransform(
        self, request: collection_pb2.FitTransformRequest, context: Context
    ) -> operations_pb2.Operation:
        """A transform for what the collection holds, in the background."""
        backend = self._backend
        recipe = spaces.recipe(request.recipe)
        with naming(drop="recipe.drop", dim="recipe.dim"):
            operation = await fitting.begin(
                backend.operations,
                backend.library.catalog,
                request.collection,
                recipe,
                request.space,
            )
        return await operations.message(backend, operation)

    @unary
    async def RemoveTransform(
        self, request: collection_pb2.RemoveTransformRequest, context: Context
    ) -> collection_pb2.RemoveTransformResponse:
        """Vectors as they are again."""
        await fitting.remove(self._backend.library.catalog, request.collection, request.space)
        info = await self._backend.library.info(request.collection)
        return collection_pb2.RemoveTransformResponse(collection=convert.collection_message(info))

    async def _upload(
        self,
        config: collection_pb2.UploadRecordingRequest.Config,
        messages: AsyncIterator[collection_pb2.UploadRecordingRequest],
        came: Terms,
    ) -> Written:
        form = Source(
            b"",
            audio.pcm_format(config.pcm, "config.pcm") if config.HasField("pcm") else None,
            audio.channel_policy(config.channel_policy, "config.channel_policy"),
            config.strict,
        )
        labels = metadata.metadata(config.metadata, "metadata")
        spoken = texts.transcript(config.transcript, "config.transcript")
        mode = _mode(config.mode, "config.mode")
        await self._backend.library.info(config.collection)  # before a long transfer, not after
        async with streams.gathered(messages, self._backend.uploads) as file:
            digest = ""
            if config.request_id:
                content = await asyncio.to_thread(streams.digest_of, file)
                digest = paging.digest_of(config, "request_id", content)
            return await self._backend.library.add(
                config.collection,
                [Submission(config.id, labels, form, file, spoken)],
                WriteOptions(mode, config.skip_unchanged, config.request_id, digest, came),
            )

    @unary
    async def GetRecordings(
        self, request: collection_pb2.GetRecordingsRequest, context: Context
    ) -> collection_pb2.GetRecordingsResponse:
        """Recordings by id."""
        settings = self._backend.settings
        check_batch(len(request.ids), "ids", settings.batcher.max_batch_items)
        limit = room = settings.server.max_response_bytes
        library = self._backend.library
        found, missing = await library.get(request.collection, list(request.ids))
        response = collection_pb2.GetRecordingsResponse(missing_ids=missing)
        for listed in found:
            recording, vectors = listed, None
            if request.include_vectors:
                read = await library.read(request.collection, listed.id, request.space)
                if read is None:  # deleted since
                    response.missing_ids.append(listed.id)
                    continue
                recording, vectors = read
            message = convert.recording_message(recording, vectors)
            if request.include_texts:
                lines = await library.texts(request.collection, recording.id)
                message.texts.extend(map(texts.line_message, lines))
            response.recordings.append(message)
            room -= response.recordings[-1].ByteSize()
            if room < 0:
                break
        return convert.fitting(response, limit, "ask for fewer ids")

    @unary
    async def ListRecordings(
        self, request: collection_pb2.ListRecordingsRequest, context: Context
    ) -> collection_pb2.ListRecordingsResponse:
        """Recordings that a filter allows, in the order they were stored."""
        condition = metadata.condition(request.filter) if request.HasField("filter") else None
        listing = paging.digest_of(request, "page_size", "page_token")
        after = paging.place(request.page_token, listing)
        size = convert.page_size(request.page_size)
        page = await self._backend.library.list(request.collection, condition, after, size)
        token = "" if page.cursor is None else paging.token(str(page.cursor), listing)
        response = collection_pb2.ListRecordingsResponse(
            recordings=map(convert.recording_message, page.recordings), next_page_token=token
        )
        limit = self._backend.settings.server.max_response_bytes
        return convert.fitting(response, limit, "ask for a smaller page")

    @unary
    async def CountRecordings(
        self, request: collection_pb2.CountRecordingsRequest, context: Context
    ) -> collection_pb2.CountRecordingsResponse:
        """How many recordings a filter allows."""
        condition = metadata.condition(request.filter) if request.HasField("filter") else None
        count = await self._backend.library.count(request.collection, condition)
        return collection_pb2.CountRecordingsResponse(count=count)

    @unary
    async def DeleteRecordings(
        self, request: collection_pb2.DeleteRecordingsRequest, context: Context
    ) -> collection_pb2.DeleteRecordingsResponse:
        """Recordings by id or by filter, gone from every later answer."""
        library = self._backend.library
        match request.WhichOneof("selector"):
            case "ids":
                deleted = await library.delete(
                    request.collection,
                    list(request.ids.ids),
                    dry_run=request.dry_run,
                    request_id=request.request_id,
                )
            case "filter":
                condition = metadata.condition(request.filter)
                deleted = await library.delete_where(
                    request.collection,
                    condition,
                    dry_run=request.dry_run,
                    request_id=request.request_id,
                )
            case _:
                raise InvalidArgument("`selector` must be `ids` or `filter`", field="selector")
        return collection_pb2.DeleteRecordingsResponse(
            deleted=deleted.count, sequence=deleted.sequence
        )


def _specs(request: collection_pb2.CreateCollectionRequest) -> dict[str, OutputSpec]:
    """What is asked of the encoder, by name; without names there is one space."""
    if not request.spaces:
        return {"": spaces.spec(request.vectors, "vectors")}
    for field in ("vectors", "foreign_space"):
        if request.HasField(field):
            raise InvalidArgument(f"`{field}` must be absent beside `spaces`", field=field)
    return spaces.named_specs(request.spaces, "spaces")


def _moments(message: collection_pb2.MomentCodes) -> MomentChoice:
    for name, value in (("rate_hz", message.rate_hz), ("dim", message.dim)):
        if value:
            raise InvalidArgument(
                f"`moments.{name}` must be absent, as it cannot be chosen, but is {value:g}",
                field=f"moments.{name}",
            )
    return MomentChoice(message.layer if message.HasField("layer") else None)


def _mode(number: int, field: str) -> WriteMode:
    if number not in _MODES:
        raise InvalidArgument(
            f"`{field}` must be UPSERT, INSERT or UPDATE, but is {number}", field=field
        )
    return _MODES[number]


def _submission(recording: collection_pb2.Recording) -> Submission:
    """One recording as a value; what is wrong with it becomes its own result."""
    try:
        labels = metadata.metadata(recording.metadata, "metadata")
        spoken = texts.transcript(recording.transcript)
        return Submission(recording.id, labels, _content(recording), transcript=spoken)
    except EmbedsvcError as error:
        return Submission(recording.id, {}, error)


def _content(recording: collection_pb2.Recording) -> Source | ReadyVectors:
    match recording.WhichOneof("content"):
        case "audio":
            return audio.source(recording.audio, "audio")
        case "vectors":
            return ReadyVectors((_ready(recording.vectors, "vectors"),))
        case "space_vectors":
            parts = enumerate(recording.space_vectors.spaces)
            return ReadyVectors(
                tuple(_ready(each, f"space_vectors.spaces[{place}]") for place, each in parts)
            )
        case _:
            raise InvalidArgument("`content` must be `audio` or `vectors`", field="content")


def _ready(message: collection_pb2.SegmentVectors, field: str) -> ReadySpace:
    vectors = tensors.array(message.vectors, f"{field}.vectors", dimensions=2)
    spans = [
        times.span(span, f"{field}.spans[{place}]") for place, span in enumerate(message.spans)
    ]
    if not spans and len(vectors) == 1:
        spans = [Span(0, FRAME)]
    if len(spans) != len(vectors):
        raise InvalidArgument(
            f"`{field}.spans` must be one for each of {len(vectors)} vectors, but are {len(spans)}",
            field=f"{field}.spans",
        )
    pairs = zip(spans, vectors, strict=True)
    segments = tuple(Segment(span, vector) for span, vector in pairs)
    return ReadySpace(segments, message.space_fingerprint, message.space, field)


def _results(written: Written) -> list[collection_pb2.RecordingResult]:
    results = []
    for place, stored in enumerate(written.results):
        result = convert.result_message(stored)
        if stored.error is not None:
            error = _as_requested(stored.error)
            result.error.CopyFrom(item_status(error, f"recordings[{place}]"))
        results.append(result)
    return results


def _usage(written: Written) -> types_pb2.Usage:
    return audio.usage_message(
        sum(stored.samples for stored in written.results),
        sum(stored.frames for stored in written.results),
    )


def _as_requested(error: BaseException) -> BaseException:
    """An error of a segment, named after what the request calls it: its message says which."""
    if isinstance(error, EmbedsvcError) and error.field.startswith("lines"):
        return error.named(error.field.replace("lines", "transcript").replace("units", "words"))
    if isinstance(error, EmbedsvcError) and error.field.startswith("segments"):
        part = error.field.partition(".")[2]
        if part.startswith("vectors."):
            return error.named("space_vectors")
        return error.named("vectors.spans" if part == "span" else "vectors.vectors")
    return error
