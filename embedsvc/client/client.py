"""`Client`: everything the service does, from Python."""

from collections.abc import Sequence

from embedsvc.client import results
from embedsvc.client.batch_transcribing import BatchTranscribingCalls
from embedsvc.client.classifying import ClassifyingCalls
from embedsvc.client.collection import Collection
from embedsvc.client.embedding import EmbeddingCalls
from embedsvc.client.live import LiveCalls
from embedsvc.client.probes import Probes
from embedsvc.client.transcribing import TranscribingCalls
from embedsvc.errors import AlreadyExists
from embedsvc.types import CollectionInfo, OutputSpec, Segmentation, Space, Windowing
from embedsvc.v1 import collection_pb2
from embedsvc.wire import spaces as wire_spaces


class Client(
    EmbeddingCalls, ClassifyingCalls, TranscribingCalls, LiveCalls, BatchTranscribingCalls
):
    """A connection to a server, or with `:local:` to the same service in this process.

    A local one keeps its collections in `data` and runs `model`, with further `projections` of a
    file; of a server, `model` is what it must run, or calls that embed answer NOT_FOUND. Close it,
    or use it in a `with` block. It may be shared by threads.
    """

    @property
    def probes(self) -> Probes:
        """The probes of the server."""
        return Probes(self._stubs, self._caller, self.info)

    def collection(self, name: str) -> Collection:
        """A handle on a collection, which need not exist yet."""
        return Collection(name, self._stubs, self._caller, self.info)

    def create_collection(  # noqa: PLR0913  # each is a field of the request
        self,
        name: str,
        *,
        vectors: OutputSpec | None = None,
        spaces: Sequence[OutputSpec] = (),
        windowing: Windowing | None = None,
        segmentation: Segmentation | None = None,
        foreign_space: Space | None = None,
        moments: bool = False,
        moment_layer: int | None = None,
        texts: Sequence[str] | bool = False,
        exist_ok: bool = False,
    ) -> Collection:
        """A new collection; with `exist_ok`, the one that is there.

        `spaces` with names, in place of `vectors`, are several, each searched on its own. With
        `moments` it keeps codes of frames, of the model's own layer or of `moment_layer`, so
        that searches can say when. With `texts` it keeps what heads of these names write down, or,
        with True, only transcripts that come with recordings.
        """
        request = collection_pb2.CreateCollectionRequest(name=name)
        if vectors is not None:
            request.vectors.CopyFrom(wire_spaces.spec_message(vectors))
        request.spaces.extend(map(wire_spaces.spec_message, spaces))
        if windowing is not None:
            request.windowing.CopyFrom(wire_spaces.windowing_message(windowing))
        if segmentation is not None:
            request.segmentation.CopyFrom(wire_spaces.segmentation_message(segmentation))
        if foreign_space is not None:
            request.foreign_space.CopyFrom(wire_spaces.space_message(foreign_space))
        if moments or moment_layer is not None:
            request.moments.CopyFrom(collection_pb2.MomentCodes(layer=moment_layer))
        if texts:
            names = () if texts is True else texts
            request.texts.CopyFrom(collection_pb2.CollectionTexts(heads=names))
        try:
            self._caller.unary(self._stubs.collections.CreateCollection, request)
        except AlreadyExists:
            if not exist_ok:
                raise
        return self.collection(name)

    def collections(self) -> list[CollectionInfo]:
        """All collections, by name."""
        found: list[CollectionInfo] = []
        request = collection_pb2.ListCollectionsRequest()
        while True:
            reply = self._caller.unary(self._stubs.collections.ListCollections, request)
            found += map(results.collection_info, reply.collections)
            if not reply.next_page_token:
                return found
            request.page_token = reply.next_page_token

    def delete_collection(self, name: str, *, missing_ok: bool = False) -> None:
        """Delete a collection and all it holds."""
        request = collection_pb2.DeleteCollectionRequest(name=name, allow_missing=missing_ok)
        self._caller.unary(self._stubs.collections.DeleteCollection, request)
