"""A handle on one collection of a server."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from embedsvc.client import audible, requests, results, text_search
from embedsvc.client.audible import Audible
from embedsvc.client.channel import Caller, Stubs
from embedsvc.client.operations import Running, Tell
from embedsvc.client.results import AddedRecording, ServerInfo
from embedsvc.client.searching import Searches
from embedsvc.client.text_search import Spoken
from embedsvc.errors import AudioTooLong, EmbedsvcError, InvalidArgument
from embedsvc.filters import Filter
from embedsvc.types import (
    CollectionInfo,
    Lane,
    Line,
    Metadata,
    Segment,
    SpaceInfo,
    StoredRecording,
    TransformRecipe,
)
from embedsvc.v1 import collection_pb2
from embedsvc.wire import metadata as wire_metadata
from embedsvc.wire import spaces, texts

NewRecording = tuple[str, Audible, Metadata]
"""An id, the audio, and metadata."""


class Collection(Searches):
    """Adds recordings, lists them, deletes them and searches in them."""

    def __init__(
        self, name: str, stubs: Stubs, caller: Caller, info: Callable[[], ServerInfo]
    ) -> None:
        super().__init__(name, stubs, caller, info)
        self._stub = stubs.collections
        self._operations = stubs.operations

    def info(self) -> CollectionInfo:
        """The collection as it is now."""
        request = collection_pb2.GetCollectionRequest(name=self.name)
        return results.collection_info(
            self._caller.unary(self._stub.GetCollection, request).collection
        )

    @property
    def spaces(self) -> tuple[SpaceInfo, ...]:
        """The spaces it has vectors in as they are now; the first is searched if none is named."""
        return self.info().spaces

    def add(
        self,
        id: str,  # the field's name
        source: Audible,
        metadata: Metadata | None = None,
        *,
        mode: str = "upsert",
        skip_unchanged: bool = False,
        lane: Lane | str | None = None,
        transcript: Spoken = (),
    ) -> AddedRecording:
        """Store one recording of any length; raises what kept it from being stored.

        `lane` says how urgent it is: None is normal, and bulk for what is uploaded. In a collection
        that keeps texts, `transcript` is what is known to be said: lines with the times of their
        words, or a text, of which every word lasts as long as the recording.
        """
        sound = audible.read(source)
        config = collection_pb2.UploadRecordingRequest.Config(
            mode=requests.mode(mode),
            skip_unchanged=skip_unchanged,
            lane=audible.lane_number(lane),
            transcript=text_search.transcript(transcript),
        )
        if not sound.is_small(self._server()):
            return self._upload(id, sound, metadata or {}, config)
        (result,) = self.add_batch(
            [(id, source, metadata or {})],
            mode=mode,
            skip_unchanged=skip_unchanged,
            lane=lane,
            transcripts={id: transcript},
        )
        if isinstance(result.error, AudioTooLong):
            return self._upload(id, sound, metadata or {}, config)
        if result.error is not None:
            raise result.error
        return result

    def add_batch(
        self,
        recordings: Sequence[NewRecording],
        *,
        mode: str = "upsert",
        skip_unchanged: bool = False,
        lane: Lane | str | None = None,
        transcripts: Mapping[str, Spoken] | None = None,
    ) -> list[AddedRecording]:
        """Store many short recordings in one durable write; each has its own result.

        `transcripts` are what is known to be said, by id, as in `add`.
        """
        self._server()
        request = self._adding(mode)
        request.skip_unchanged = skip_unchanged
        request.lane = audible.lane_number(lane)
        unreadable: dict[int, AddedRecording] = {}
        for place, (id, source, metadata) in enumerate(recordings):  # the field's name
            try:
                labels = wire_metadata.metadata_message(metadata)
                message = audible.read(source).message()
            except EmbedsvcError as error:
                unreadable[place] = AddedRecording(id, error, (), unchanged=False, segment_count=0)
            else:
                lines = text_search.transcript((transcripts or {}).get(id, ()))
                request.recordings.add(id=id, metadata=labels, audio=message, transcript=lines)
        if unreadable and not request.recordings:
            return list(unreadable.values())
        reply = self._caller.unary(self._stub.AddRecordings, request)
        stored = map(results.added, reply.results)
        return [unreadable.get(place) or next(stored) for place in range(len(recordings))]

    def add_vectors(
        self,
        id: str,  # the field's name
        segments: Sequence[Segment],
        fingerprint: str,
        metadata: Metadata | None = None,
        *,
        mode: str = "upsert",
        transcript: Spoken = (),
    ) -> AddedRecording:
        """Store a recording whose vectors were made before, in the space of `fingerprint`."""
        ready = requests.ready(segments, fingerprint)
        lines = text_search.transcript(transcript)
        recording = collection_pb2.Recording(id=id, vectors=ready, transcript=lines)
        return self._add_ready(recording, metadata, mode)

    def add_space_vectors(
        self,
        id: str,  # the field's name
        vectors: Mapping[str, tuple[Sequence[Segment], str]],
        metadata: Metadata | None = None,
        *,
        mode: str = "upsert",
    ) -> AddedRecording:
        """The same in every space of a collection: segments and fingerprint by its name.

        All spaces have the same spans.
        """
        every = collection_pb2.SpaceVectors(
            spaces=[
                requests.ready(segments, fingerprint, space)
                for space, (segments, fingerprint) in vectors.items()
            ]
        )
        recording = collection_pb2.Recording(id=id, space_vectors=every)
        return self._add_ready(recording, metadata, mode)

    def _add_ready(
        self, recording: collection_pb2.Recording, metadata: Metadata | None, mode: str
    ) -> AddedRecording:
        recording.MergeFrom(
            collection_pb2.Recording(metadata=wire_metadata.metadata_message(metadata or {}))
        )
        request = self._adding(mode)
        request.recordings.append(recording)
        reply = self._caller.unary(self._stub.AddRecordings, request)
        result = results.added(reply.results[0])
        if result.error is not None:
            raise result.error
        return result

    def texts(self, id: str) -> list[Line]:  # the field's name
        """The texts of a recording, line by line; empty when it is not there."""
        request = collection_pb2.GetRecordingsRequest(
            collection=self.name, ids=[id], include_texts=True
        )
        reply = self._caller.unary(self._stub.GetRecordings, request)
        kept = self.info().texts
        return [texts.line(line, kept) for message in reply.recordings for line in message.texts]

    def get(self, ids: Sequence[str]) -> dict[str, StoredRecording]:
        """The recordings of `ids` that are there, by id."""
        request = collection_pb2.GetRecordingsRequest(collection=self.name, ids=ids)
        reply = self._caller.unary(self._stub.GetRecordings, request)
        return {message.id: results.stored(message) for message in reply.recordings}

    def segments(self, id: str, space: str = "") -> list[Segment]:  # the field's name
        """The segments of a recording, with vectors of a space; empty when it is not there."""
        request = collection_pb2.GetRecordingsRequest(
            collection=self.name, ids=[id], include_vectors=True, space=space
        )
        reply = self._caller.unary(self._stub.GetRecordings, request)
        return [segment for message in reply.recordings for segment in results.segments(message)]

    def list(
        self, where: Filter | str | None = None, page_size: int = 1000
    ) -> Iterator[StoredRecording]:
        """Recordings in the order they were stored, page by page."""
        request = collection_pb2.ListRecordingsRequest(collection=self.name, page_size=page_size)
        if where is not None:
            request.filter.CopyFrom(requests.condition(where))
        while True:
            reply = self._caller.unary(self._stub.ListRecordings, request)
            yield from map(results.stored, reply.recordings)
            if not reply.next_page_token:
                return
            request.page_token = reply.next_page_token

    def count(self, where: Filter | str | None = None) -> int:
        """How many recordings there are, or a filter allows."""
        request = collection_pb2.CountRecordingsRequest(collection=self.name)
        if where is not None:
            request.filter.CopyFrom(requests.condition(where))
        return self._caller.unary(self._stub.CountRecordings, request).count

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Filter | str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete recordings by id or by filter; how many went, or would go."""
        request = collection_pb2.DeleteRecordingsRequest(
            collection=self.name, dry_run=dry_run, request_id=str(uuid.uuid4())
        )
        if (ids is None) == (where is None):
            raise InvalidArgument("`delete` must have either `ids` or `where`")
        if ids is not None:
            request.ids.ids.extend(ids)
        elif where is not None:
            request.filter.CopyFrom(requests.condition(where))
        return self._caller.unary(self._stub.DeleteRecordings, request).deleted

    def fit(
        self, recipe: TransformRecipe | None = None, *, space: str = "", tell: Tell | None = None
    ) -> CollectionInfo:
        """Fit a transform on what is stored in a space, and search through it from now on.

        It returns when that is done; `tell` hears how far it is. What goes wrong is raised. When
        the caller is interrupted, the fitting is cancelled.
        """
        request = collection_pb2.FitTransformRequest(
            collection=self.name,
            recipe=spaces.recipe_message(recipe or TransformRecipe()),
            space=space,
        )
        begun = self._caller.unary(self._stub.FitTransform, request)
        ended = Running(begun, self._operations, self._caller).finish(tell)
        response = collection_pb2.FitTransformResponse()
        ended.response.Unpack(response)
        return results.collection_info(response.collection)

    def unfit(self, *, space: str = "") -> CollectionInfo:
        """Search the vectors of a space as they are again."""
        request = collection_pb2.RemoveTransformRequest(collection=self.name, space=space)
        reply = self._caller.unary(self._stub.RemoveTransform, request)
        return results.collection_info(reply.collection)

    def _adding(self, mode: str) -> collection_pb2.AddRecordingsRequest:
        # The id makes the call safe to retry after a lost answer.
        return collection_pb2.AddRecordingsRequest(
            collection=self.name, mode=requests.mode(mode), request_id=str(uuid.uuid4())
        )

    def _upload(
        self,
        id: str,  # the field's name
        sound: audible.Sound,
        metadata: Metadata,
        chosen: collection_pb2.UploadRecordingRequest.Config,
    ) -> AddedRecording:
        config = collection_pb2.UploadRecordingRequest.Config(
            collection=self.name,
            id=id,
            metadata=wire_metadata.metadata_message(metadata),
            request_id=str(uuid.uuid4()),
            **sound.upload_fields(),
        )
        config.MergeFrom(chosen)
        kind = collection_pb2.UploadRecordingRequest
        messages = audible.upload(kind, config, sound, self._server().chunk_bytes)
        reply = self._caller.upload(self._stub.UploadRecording, messages, None)
        return results.added(reply.result)
