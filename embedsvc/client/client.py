"""`Client`: everything the service does, from Python."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2

from embedsvc.client import audible, results
from embedsvc.client.audible import Audible
from embedsvc.client.channel import Caller, Stubs, connect
from embedsvc.client.collection import Collection
from embedsvc.client.local import LOCAL, LocalServer
from embedsvc.client.probes import Probes
from embedsvc.client.results import Classified, Embedding, HeardWindow, ServerInfo, Window
from embedsvc.errors import AlreadyExists, AudioTooLong, EmbedsvcError, Unavailable
from embedsvc.types import (
    ChannelPolicy,
    CollectionInfo,
    Floats,
    Lane,
    OutputSpec,
    PcmFormat,
    Pooling,
    ProbeAnswer,
    Segmentation,
    Space,
    Timeline,
    Windowing,
)
from embedsvc.v1 import collection_pb2, embedding_pb2, probe_pb2, server_pb2
from embedsvc.wire import audio as wire_audio
from embedsvc.wire import probes as wire_probes
from embedsvc.wire import spaces, tensors
from embedsvc.wire.errors import error_of

DEADLINE = 300.0
"""Seconds for one call; an hour of audio has its own."""


class Client:
    """A connection to a server, or with `:local:` to the same service in this process.

    A local one keeps its collections in `data` and runs `model`, with further `projections` of a
    file; of a server, `model` is what it must run, or calls that embed answer NOT_FOUND. Close it,
    or use it in a `with` block. It may be shared by threads.
    """

    def __init__(
        self,
        target: str = LOCAL,
        *,
        data: str | Path | None = None,
        model: str | None = None,
        projections: str | Path | None = None,
        timeout: float = DEADLINE,
    ) -> None:
        self._local: LocalServer | None = None
        if target == LOCAL:
            folder = None if data is None else str(data)
            file = None if projections is None else str(projections)
            chosen = {"name": model, "projections": file}
            self._local = LocalServer({"data": folder, "model": chosen})
            target, model = self._local.target, None
        self.target = target
        self._channel = connect(target)
        self._caller = Caller(target, timeout)
        self._stubs = Stubs.of(self._channel)
        self._info: ServerInfo | None = None
        self._model = model or ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the server; a local one stops. What is closed can be closed again."""
        self._caller.closed = True
        self._channel.close()
        if self._local is not None:
            self._local.stop()

    def info(self) -> ServerInfo:
        """What the server is and allows; asked once."""
        if self._info is None:
            request = server_pb2.GetServerInfoRequest()
            reply = self._caller.unary(self._stubs.server.GetServerInfo, request)
            self._info = results.server_info(reply)
            self._caller.max_request_bytes = self._info.max_request_bytes
        return self._info

    def wait_until_serving(self, timeout: float = 60.0) -> None:
        """Return when the model is loaded; raises Unavailable when it takes longer."""
        self._caller.check_open()
        request = health_pb2.HealthCheckRequest(service="embedsvc.v1.EmbeddingService")
        until = time.monotonic() + timeout
        try:
            for answer in self._stubs.health.Watch(request, timeout=timeout, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        except grpc.RpcError as error:
            raise Unavailable(f"{self.target} is not serving after {timeout:g} s") from error
        raise Unavailable(f"{self.target} stopped, {until - time.monotonic():.0f} s before the end")

    def embed(  # noqa: PLR0913  # each is a choice of its own
        self,
        source: Audible,
        *,
        layer: int | None = None,
        pooling: Pooling | str | None = None,
        profile: str = "",
        outputs: Sequence[OutputSpec] | None = None,
        windowing: Windowing | None = None,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
        probes: Sequence[str] = (),
    ) -> Embedding:
        """Embed one utterance of any length; `outputs` asks for several from the same pass.

        What `probes` say of it comes from that pass too.

        `profile` is the name of a choice of layer, pooling and projection; `info` lists them.
        Audio too large for one message is uploaded in chunks. `lane` says how urgent it is: None
        is interactive, and bulk for what is uploaded.
        """
        chosen = None if pooling is None else audible.choice(Pooling, pooling, "pooling")
        specs = outputs or [OutputSpec("", layer, chosen, profile=profile)]
        options = self._options(specs, windowing, lane, probes)
        policy = audible.choice(ChannelPolicy, channels, "channels")
        sound = audible.read(source, policy)
        if sound.is_small(self.info()):
            request = embedding_pb2.EmbedRequest(audio=sound.message(), options=options)
            try:
                reply = self._caller.unary(self._stubs.embedding.Embed, request)
                return results.embedding(reply.embedding, reply.timing)
            except AudioTooLong:
                pass  # a small file of much audio
        config = embedding_pb2.EmbedUploadRequest.Config(options=options, **sound.upload_fields())
        kind = embedding_pb2.EmbedUploadRequest
        requests = audible.upload(kind, config, sound, self.info().chunk_bytes)
        uploaded = self._caller.upload(self._stubs.embedding.EmbedUpload, requests, None)
        return results.embedding(uploaded.embedding, uploaded.timing)

    def embed_batch(
        self,
        sources: Sequence[Audible],
        *,
        outputs: Sequence[OutputSpec] = (OutputSpec(),),
        windowing: Windowing | None = None,
        lane: Lane | str | None = None,
        probes: Sequence[str] = (),
    ) -> list[Embedding | EmbedsvcError]:
        """Embed many short utterances; each place holds its embedding or its error."""
        self.info()
        options = self._options(outputs, windowing, lane, probes)
        request = embedding_pb2.BatchEmbedRequest(options=options)
        unreadable: dict[int, EmbedsvcError] = {}
        for place, source in enumerate(sources):
            try:
                request.audios.append(audible.read(source).message())
            except EmbedsvcError as error:
                unreadable[place] = error
        if unreadable and not request.audios:
            return list(unreadable.values())
        reply = self._caller.unary(self._stubs.embedding.BatchEmbed, request)
        answers = (
            results.embedding(item.embedding, reply.timing)
            if item.HasField("embedding")
            else error_of(item.error)
            for item in reply.items
        )
        return [unreadable.get(place) or next(answers) for place in range(len(sources))]

    def stream(
        self,
        chunks: Iterable[bytes | None],
        pcm: PcmFormat,
        *,
        outputs: Sequence[OutputSpec] = (OutputSpec(),),
        windowing: Windowing | None = None,
        lane: Lane | str | None = None,
        probes: Sequence[str] = (),
    ) -> Iterator[Window]:
        """Embed live PCM window by window; None among the chunks asks for an answer now."""
        config = embedding_pb2.StreamEmbedRequest.Config(
            pcm=wire_audio.pcm_message(pcm),
            options=self._options(outputs, windowing, lane, probes),
        )

        def requests() -> Iterator[embedding_pb2.StreamEmbedRequest]:
            yield embedding_pb2.StreamEmbedRequest(config=config)
            for chunk in chunks:
                if chunk is None:
                    flush = embedding_pb2.StreamEmbedRequest.Flush()
                    yield embedding_pb2.StreamEmbedRequest(flush=flush)
                else:
                    yield embedding_pb2.StreamEmbedRequest(audio=chunk)

        for reply in self._caller.stream(self._stubs.embedding.StreamEmbed, requests()):
            yield results.window(reply)

    @property
    def probes(self) -> Probes:
        """The probes of the server."""
        return Probes(self._stubs, self._caller, self.info)

    def classify(
        self,
        source: Audible,
        probes: Sequence[str],
        *,
        timeline: Timeline | None = None,
        top_n: int = 0,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
    ) -> Classified:
        """Ask probes about one utterance of any length, all of them from one pass.

        `probes` are names, or NAME@VERSION; with a `timeline` each also answers over time.
        `top_n` labels come with their probabilities, 0 for 5. Audio too large for one message is
        uploaded in chunks.
        """
        policy = audible.choice(ChannelPolicy, channels, "channels")
        sound = audible.read(source, policy)
        fields: dict[str, Any] = {
            "probes": probes,
            "top_n": top_n,
            "lane": audible.lane_number(lane),
            "timeline": None if timeline is None else wire_probes.timeline_message(timeline),
        }
        if sound.is_small(self.info()):
            request = probe_pb2.ClassifyAudioRequest(audio=sound.message(), **fields)
            try:
                reply = self._caller.unary(self._stubs.probes.ClassifyAudio, request)
                return results.classified(reply)
            except AudioTooLong:
                pass  # a small file of much audio
        config = probe_pb2.ClassifyUploadRequest.Config(**fields, **sound.upload_fields())
        kind = probe_pb2.ClassifyUploadRequest
        requests = audible.upload(kind, config, sound, self.info().chunk_bytes)
        uploaded = self._caller.upload(self._stubs.probes.ClassifyUpload, requests, None)
        return results.classified(uploaded)

    def classify_vectors(
        self, vectors: Floats, probe: str, fingerprints: Sequence[str], *, top_n: int = 0
    ) -> list[ProbeAnswer]:
        """Ask a probe about vectors (n, D) of the spaces of `fingerprints`, side by side."""
        request = probe_pb2.ClassifyVectorsRequest(
            probe=probe,
            vectors=tensors.tensor_message(vectors),
            space_fingerprints=fingerprints,
            top_n=top_n,
        )
        reply = self._caller.unary(self._stubs.probes.ClassifyVectors, request)
        return list(map(wire_probes.answer, reply.classifications))

    def classify_stream(
        self,
        chunks: Iterable[bytes],
        pcm: PcmFormat,
        probes: Sequence[str],
        *,
        timeline: Timeline | None = None,
        top_n: int = 0,
        lane: Lane | str | None = None,
    ) -> Iterator[HeardWindow]:
        """Ask probes about live PCM; an answer for each window as soon as it is over."""
        config = probe_pb2.StreamClassifyRequest.Config(
            pcm=wire_audio.pcm_message(pcm),
            probes=probes,
            timeline=wire_probes.timeline_message(timeline or Timeline()),
            top_n=top_n,
            lane=audible.lane_number(lane),
        )

        def requests() -> Iterator[probe_pb2.StreamClassifyRequest]:
            yield probe_pb2.StreamClassifyRequest(config=config)
            for chunk in chunks:
                yield probe_pb2.StreamClassifyRequest(audio=chunk)

        for reply in self._caller.stream(self._stubs.probes.StreamClassify, requests()):
            yield results.heard_window(reply)

    def collection(self, name: str) -> Collection:
        """A handle on a collection, which need not exist yet."""
        return Collection(name, self._stubs, self._caller, self.info)

    def create_collection(
        self,
        name: str,
        *,
        vectors: OutputSpec | None = None,
        windowing: Windowing | None = None,
        segmentation: Segmentation | None = None,
        foreign_space: Space | None = None,
        moments: bool = False,
        moment_layer: int | None = None,
        exist_ok: bool = False,
    ) -> Collection:
        """A new collection; with `exist_ok`, the one that is there.

        With `moments` it keeps codes of frames, of the model's own layer or of `moment_layer`, so
        that searches can say when.
        """
        request = collection_pb2.CreateCollectionRequest(name=name)
        if vectors is not None:
            request.vectors.CopyFrom(spaces.spec_message(vectors))
        if windowing is not None:
            request.windowing.CopyFrom(spaces.windowing_message(windowing))
        if segmentation is not None:
            request.segmentation.CopyFrom(spaces.segmentation_message(segmentation))
        if foreign_space is not None:
            request.foreign_space.CopyFrom(spaces.space_message(foreign_space))
        if moments or moment_layer is not None:
            request.moments.CopyFrom(collection_pb2.MomentCodes(layer=moment_layer))
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

    def _options(
        self,
        specs: Sequence[OutputSpec],
        windowing: Windowing | None,
        lane: Lane | str | None,
        probes: Sequence[str],
    ) -> embedding_pb2.EmbedOptions:
        options = embedding_pb2.EmbedOptions(
            model=self._model,
            outputs=map(spaces.spec_message, specs),
            lane=audible.lane_number(lane),
            probes=probes,
        )
        if windowing is not None:
            options.windowing.CopyFrom(spaces.windowing_message(windowing))
        return options
