"""A server with models beside its own, one of which can be made ill."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from grpc_health.v1 import health_pb2

from embedsvc.encoder.waveform import WaveformEncoder
from embedsvc.pipeline.bodies import Bodies
from embedsvc.v1 import server_pb2, transcription_pb2
from tests.service.calls import Refusal, Stubs, pcm, refused
from tests.service.test_heads import SOUND

Transcribe = transcription_pb2.TranscribeRequest

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "embedsvc.v1.TranscriptionService"
SECRET = "what went wrong in there"


@dataclass
class Ward:
    """A server with `mini` and two models beside it: `mms`, which can be made ill, and `base`."""

    stubs: Stubs
    bodies: Bodies

    @property
    def mms(self) -> WaveformEncoder:
        (key,) = (each.body.key for each in self.bodies.added if each.info.name == "mms-spa")
        found = self.bodies.encoders[key]
        assert isinstance(found, WaveformEncoder)
        return found

    def write(self, head: str) -> str:
        asked = Transcribe(audio=pcm(SOUND), head=head)
        return text(self.stubs.transcription.Transcribe(asked).segments)

    def refusal(self, head: str) -> Refusal:
        return refused(self.stubs.transcription.Transcribe, Transcribe(audio=pcm(SOUND), head=head))

    def health(self, name: str) -> int:
        status: int = self.stubs.health.Check(health_pb2.HealthCheckRequest(service=name)).status
        return status

    def told(self) -> list[server_pb2.BodyInfo]:
        reply = self.stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest())
        return list(reply.bodies)

    def becomes(self, head: str, status: int) -> None:
        """Wait until health says it of a head."""
        asked = health_pb2.HealthCheckRequest(service=f"{SERVICE}/{head}")
        watch = self.stubs.health.Watch(asked, timeout=60)
        assert any(each.status == status for each in watch)
        watch.cancel()


def text(segments: Iterable[Any]) -> str:
    return " ".join(each.text for each in segments)


class Illness:
    """Makes the body of `mms` fail on everything, from `begin` to `end`; counts its passes."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward
        self.fails = False
        self.passes = 0

    def __call__(self) -> None:
        self.passes += 1
        if self.fails:
            raise ArithmeticError(SECRET)

    def begin(self) -> Refusal:
        """Fall ill; how the first caller is told."""
        self.fails = True
        first = self._ward.refusal("mms-spa")
        self._ward.becomes("mms-spa", NOT_SERVING)
        return first

    def end(self) -> None:
        self.fails = False
        self._ward.becomes("mms-spa", SERVING)
