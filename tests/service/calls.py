"""Calls over a real channel, what they refuse, and sounds to send."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
import soundfile
from google.longrunning import operations_pb2_grpc
from google.rpc import error_details_pb2 as details
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from embedsvc.types import Floats
from embedsvc.v1 import (
    collection_pb2,
    collection_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    probe_pb2_grpc,
    search_pb2_grpc,
    server_pb2_grpc,
    transcription_pb2_grpc,
    types_pb2,
)
from embedsvc.wire import tensors

BOUND = 2e-5
"""How far two passes over the same audio may differ in any dimension."""

RATE = 16_000


class Stubs:
    """Every service of one server; `target` as gRPC takes it."""

    def __init__(self, target: str, **options: int) -> None:
        self.target = target
        pairs = {"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1}
        self.channel = grpc.insecure_channel(
            target, options=[("grpc.enable_retries", 0), *(pairs | options).items()]
        )
        self.embedding = embedding_pb2_grpc.EmbeddingServiceStub(self.channel)
        self.collections = collection_pb2_grpc.CollectionServiceStub(self.channel)
        self.search = search_pb2_grpc.SearchServiceStub(self.channel)
        self.server = server_pb2_grpc.ServerServiceStub(self.channel)
        self.probes = probe_pb2_grpc.ProbeServiceStub(self.channel)
        self.transcription = transcription_pb2_grpc.TranscriptionServiceStub(self.channel)
        self.operations: Any = operations_pb2_grpc.OperationsStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


@dataclass
class Refusal:
    """What a caller is told when a call, or one item of it, is refused."""

    code: str
    message: str
    reason: str = ""
    domain: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    path: str = ""
    retry_seconds: float | None = None
    help: str = ""
    resource: str = ""
    trailers: dict[str, Any] = field(default_factory=dict)


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> Refusal:
    """The refusal of a call that must fail; a stream is read until then."""
    try:
        answer = call(*arguments, **{"timeout": 60, **options})
        if isinstance(answer, Iterator):
            list(answer)
    except grpc.RpcError as error:
        found: Any = error
        status = rpc_status.from_call(found)
        refusal = (
            Refusal(found.code().name, found.details()) if status is None else item_refusal(status)
        )
        refusal.trailers = {pair.key: pair.value for pair in found.trailing_metadata() or ()}
        return refusal
    raise AssertionError(f"answered {str(answer)[:500]}")


def item_refusal(status: Status) -> Refusal:
    """The refusal that a status tells of."""
    refusal = Refusal(Code.Name(status.code), status.message)
    for packed in status.details:
        if packed.Is(details.ErrorInfo.DESCRIPTOR):
            info = details.ErrorInfo.FromString(packed.value)
            refusal.reason, refusal.domain = info.reason, info.domain
            refusal.facts = dict(info.metadata)
        elif packed.Is(details.BadRequest.DESCRIPTOR):
            (violation,) = details.BadRequest.FromString(packed.value).field_violations
            refusal.path = violation.field
        elif packed.Is(details.RetryInfo.DESCRIPTOR):
            delay = details.RetryInfo.FromString(packed.value).retry_delay
            refusal.retry_seconds = delay.seconds + delay.nanos / 1e9
        elif packed.Is(details.Help.DESCRIPTOR):
            refusal.help = details.Help.FromString(packed.value).links[0].description
        elif packed.Is(details.ResourceInfo.DESCRIPTOR):
            refusal.resource = details.ResourceInfo.FromString(packed.value).resource_type
    assert refusal.domain in {"", "embedsvc.v1"}
    return refusal


def speech(seconds: float = 1.0, seed: int = 0, rate: int = RATE) -> Floats:
    """Samples (N,) that rise and fall like syllables, different for each seed."""
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    pitch, pace = random.uniform(90, 250), random.uniform(2, 6)
    voice = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    noise = random.standard_normal(len(time))
    loudness = 0.55 + 0.45 * np.sin(2 * np.pi * pace * time + random.uniform(0, 6))
    return np.asarray(0.08 * loudness * (voice + 0.3 * noise), np.float32)


def s16(samples: Floats) -> bytes:
    """Samples as 16-bit PCM."""
    return np.asarray(samples * 32767, "<i2").tobytes()


def pcm_format(rate: int = RATE, channels: int = 1, layout: int | None = None) -> Any:
    """A format of raw PCM, 16 bits unless another `layout` is given."""
    return types_pb2.PcmFormat(
        format=types_pb2.SAMPLE_FORMAT_S16LE if layout is None else layout,  # type: ignore[arg-type]  # unknown ones too
        sample_rate_hz=rate,
        channels=channels,
    )


def pcm(samples: Floats, rate: int = RATE, **fields: Any) -> types_pb2.Audio:
    """An utterance as 16-bit PCM."""
    raw = types_pb2.PcmAudio(format=pcm_format(rate), samples=s16(samples))
    return types_pb2.Audio(pcm=raw, **fields)


def floats(samples: Floats, rate: int = RATE, channels: int = 1, **fields: Any) -> types_pb2.Audio:
    """An utterance as 32-bit floats."""
    form = pcm_format(rate, channels, types_pb2.SAMPLE_FORMAT_F32LE)
    data = np.asarray(samples, "<f4").tobytes()
    return types_pb2.Audio(pcm=types_pb2.PcmAudio(format=form, samples=data), **fields)


def file_of(
    samples: Floats, container: str = "WAV", codec: str | None = None, rate: int = RATE
) -> bytes:
    """A sound file in memory."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=codec)
    return file.getvalue()


def options(*outputs: embedding_pb2.OutputSpec, **fields: Any) -> embedding_pb2.EmbedOptions:
    """Options with these outputs."""
    return embedding_pb2.EmbedOptions(outputs=outputs, **fields)


def request(
    audio: types_pb2.Audio | None = None, *outputs: embedding_pb2.OutputSpec, **fields: Any
) -> embedding_pb2.EmbedRequest:
    """A request to embed one utterance, a second of speech unless another is given."""
    return embedding_pb2.EmbedRequest(
        audio=pcm(speech()) if audio is None else audio, options=options(*outputs, **fields)
    )


def arrays(embedding: embedding_pb2.Embedding) -> list[Floats]:
    """The outputs of an embedding as arrays."""
    return [
        tensors.array(output.tensor, "tensor", dimensions=len(output.tensor.shape))
        for output in embedding.outputs
    ]


def vector(embedding: embedding_pb2.Embedding) -> Floats:
    """The only output of an embedding."""
    (array,) = arrays(embedding)
    return array


def value(item: Any) -> collection_pb2.Value:
    """A value of metadata, by its kind."""
    kind = {str: "text", bool: "boolean", int: "integer", float: "number"}[type(item)]
    return collection_pb2.Value(**{kind: item})


def recording(
    id: str,  # the field's name
    audio: types_pb2.Audio | None = None,
    **labels: Any,
) -> collection_pb2.Recording:
    """A recording of audio; half a second of its own unless some is given."""
    seed = sum(map(ord, id))
    return collection_pb2.Recording(
        id=id,
        audio=pcm(speech(0.5, seed)) if audio is None else audio,
        metadata={name: value(item) for name, item in labels.items()},
    )


def ready(
    id: str,  # the field's name
    vectors: Any,
    fingerprint: str,
    **labels: Any,
) -> collection_pb2.Recording:
    """A recording of ready vectors (S, D), one a second."""
    spans = [types_pb2.TimeSpan() for _ in vectors]
    for second, span in enumerate(spans):
        span.start.seconds, span.end.seconds = second, second + 1
    return collection_pb2.Recording(
        id=id,
        metadata={name: value(item) for name, item in labels.items()},
        vectors=collection_pb2.SegmentVectors(
            space_fingerprint=fingerprint,
            vectors=tensors.tensor_message(np.asarray(vectors, np.float32)),
            spans=spans,
        ),
    )


def adding(
    collection: str, *recordings: collection_pb2.Recording, **fields: Any
) -> collection_pb2.AddRecordingsRequest:
    """A request to add recordings."""
    return collection_pb2.AddRecordingsRequest(
        collection=collection, recordings=recordings, **fields
    )


def code_of(call: Any) -> grpc.StatusCode:
    """How a call ended that was begun as a future."""
    found: grpc.StatusCode = call.code()
    return found


def upload(kind: Any, config: Any, data: bytes, chunk: int = 65_536) -> Iterator[Any]:
    """The messages of an upload in chunks of `chunk` bytes."""
    yield kind(config=config)
    for place in range(0, len(data), chunk):
        yield kind(audio=data[place : place + chunk])
