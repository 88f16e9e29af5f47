"""Streams of callers that fall silent: the call is ended, and what it held is free again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from embedsvc.testing import serving
from embedsvc.v1 import transcription_pb2
from tests.probes import toys
from tests.service.calls import Refusal, Stubs, pcm_format, refused, s16, speech
from tests.service.probing import ended, training
from tests.service.protocol import files

IDLE = 1.0
Request = transcription_pb2.BatchTranscribeRequest


@pytest.fixture(scope="module")
def impatient() -> Iterator[Stubs]:
    """A server that waits a second for a message, and takes one operation at a time."""
    settings = {"server": {"stream_idle_seconds": IDLE, "max_operations": 1}}
    with serving(settings) as target, Stubs(target) as stubs:
        yield stubs


class Silent:
    """Sends some messages, then nothing until it is let go."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Message]:
        yield from self._messages
        self._over.wait(30)

    def refused(self, call: Any) -> Refusal:
        """What the silence ended in."""
        try:
            return refused(call, iter(self))
        finally:
            self._over.set()


def batch() -> list[Any]:
    return [
        Request(config=Request.Config()),
        Request(file=Request.File(id="one", pcm=pcm_format())),
        Request(audio=s16(speech(1))),
    ]


def streams_of_callers() -> list[Any]:
    """Every method that takes a stream, whatever is added to the protocol."""
    services = [service for file in files() for service in file.services_by_name.values()]
    return [method for each in services for method in each.methods if method.client_streaming]


def test_every_stream_ends_when_its_caller_never_begins(impatient: Stubs) -> None:
    def ending(method: Any) -> Refusal:
        make = impatient.channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return Silent().refused(make)

    methods = streams_of_callers()
    assert {"BatchTranscribe", "UploadRecording", "StreamEmbed"} <= {each.name for each in methods}
    with ThreadPoolExecutor(len(methods)) as pool:
        for refusal in pool.map(ending, methods):
            assert (refusal.code, refusal.reason) == ("ABORTED", "STREAM_IDLE")
            assert refusal.facts == {"idle_seconds": str(IDLE)}


def test_a_sender_that_falls_silent_gives_its_place_to_others(impatient: Stubs) -> None:
    space = toys.space("t")
    examples = list(training("silent", [space], toys.drawn([space])))
    calls = (
        (impatient.transcription.BatchTranscribe, batch()),
        (impatient.probes.TrainProbeOnVectors, examples),
    )
    for call, messages in calls:
        refusal = Silent(*messages).refused(call)
        assert (refusal.code, refusal.reason) == ("ABORTED", "STREAM_IDLE")
        assert "must send something every 1 s" in refusal.message
    begun = impatient.transcription.BatchTranscribe(iter(batch()), timeout=60)
    assert ended(impatient, begun.name).HasField("response")
