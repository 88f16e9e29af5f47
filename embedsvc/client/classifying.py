"""What a client asks of probes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from embedsvc.client import audible, results
from embedsvc.client.audible import Audible
from embedsvc.client.connected import Connected
from embedsvc.client.results import Classified, HeardWindow
from embedsvc.errors import AudioTooLong
from embedsvc.types import ChannelPolicy, Floats, Lane, PcmFormat, ProbeAnswer, Timeline
from embedsvc.v1 import probe_pb2
from embedsvc.wire import audio as wire_audio
from embedsvc.wire import probes as wire_probes
from embedsvc.wire import tensors


class ClassifyingCalls(Connected):
    """Answers of probes about speech and vectors."""

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
