"""What a client asks of the EmbeddingService."""

from collections.abc import Iterable, Iterator, Sequence

from embedsvc.client import audible, results
from embedsvc.client.audible import Audible
from embedsvc.client.connected import Connected
from embedsvc.client.options import options as options_of
from embedsvc.client.results import Embedding, Window
from embedsvc.errors import AudioTooLong, EmbedsvcError
from embedsvc.types import (
    ChannelPolicy,
    Lane,
    OutputSpec,
    PcmFormat,
    Pooling,
    Segmentation,
    Windowing,
)
from embedsvc.v1 import embedding_pb2
from embedsvc.wire import audio as wire_audio
from embedsvc.wire.errors import error_of


class EmbeddingCalls(Connected):
    """Vectors of speech."""

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
        options = options_of(self._model, specs, windowing, lane, probes)
        policy = audible.choice(ChannelPolicy, channels, "channels")
        return self._embedded(audible.read(source, policy), options)

    def embed_segments(
        self,
        source: Audible,
        segmentation: Segmentation | None = None,
        *,
        outputs: Sequence[OutputSpec] = (OutputSpec(),),
        windowing: Windowing | None = None,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
        probes: Sequence[str] = (),
    ) -> Embedding:
        """Embed one utterance of any length in parts, cut as a collection cuts its recordings.

        Each pooled output is (S, D), and its `segments` say what the rows answer for. What `probes`
        say is of all of it.
        """
        options = options_of(
            self._model, outputs, windowing, lane, probes, segmentation or Segmentation()
        )
        policy = audible.choice(ChannelPolicy, channels, "channels")
        return self._embedded(audible.read(source, policy), options)

    def embed_windows(
        self,
        source: Audible,
        *,
        outputs: Sequence[OutputSpec] = (OutputSpec(),),
        windowing: Windowing | None = None,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
    ) -> Iterator[Window]:
        """Embed one utterance of any length window by window, in order: frames of hours.

        The frames of all windows, joined, are those that `embed` gives. A vector is of its window
        alone.
        """
        options = options_of(self._model, outputs, windowing, lane)
        sound = audible.read(source, audible.choice(ChannelPolicy, channels, "channels"))
        config = embedding_pb2.EmbedUploadRequest.Config(options=options, **sound.upload_fields())
        kind = embedding_pb2.EmbedUploadRequest
        requests = audible.upload(kind, config, sound, self.info().chunk_bytes)
        for reply in self._caller.stream(self._stubs.embedding.EmbedWindows, requests):
            yield results.window(reply)

    def _embedded(self, sound: audible.Sound, options: embedding_pb2.EmbedOptions) -> Embedding:
        """In one message when it is small, else uploaded in chunks."""
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
        segmentation: Segmentation | None = None,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
        probes: Sequence[str] = (),
    ) -> list[Embedding | EmbedsvcError]:
        """Embed many short utterances; each place holds its embedding or its error.

        With a `segmentation`, pooled outputs have a row for each segment; see `embed_segments`.
        """
        self.info()
        policy = audible.choice(ChannelPolicy, channels, "channels")
        options = options_of(self._model, outputs, windowing, lane, probes, segmentation)
        request = embedding_pb2.BatchEmbedRequest(options=options)
        unreadable: dict[int, EmbedsvcError] = {}
        for place, source in enumerate(sources):
            try:
                request.audios.append(audible.read(source, policy).message())
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
            options=options_of(self._model, outputs, windowing, lane, probes),
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
