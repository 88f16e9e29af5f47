"""Requests of any content are answered, or refused for what is wrong with them: never by a bug."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from embedsvc.testing import serving
from embedsvc.v1 import (
    collection_pb2,
    embedding_pb2,
    probe_pb2,
    search_pb2,
    transcription_pb2,
    types_pb2,
)
from tests.probes import toys
from tests.service.any_messages import TEXTS, changed, filled
from tests.service.calls import Stubs, pcm, pcm_format, s16, speech
from tests.service.probing import trained, training
from tests.service.protocol import files

EACH = 12
"""Requests of each kind; ten times as many with `-m slow`."""

ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}
COLLECTION = "held"
"""What is made up does not name it, and so does not delete it."""

SPACE = toys.space("t")


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server with a collection of everything and a probe, for these tests alone."""
    settings = {"data": str(tmp_path_factory.mktemp("any") / "data")}
    with serving(settings) as target, Stubs(target) as stubs:
        for name in (COLLECTION, TEXTS[1]):
            stubs.collections.CreateCollection(
                collection_pb2.CreateCollectionRequest(
                    name=name,
                    spaces=[embedding_pb2.OutputSpec(name=name) for name in ("meaning", "voice")],
                    texts=collection_pb2.CollectionTexts(heads=["phones"]),
                    moments=collection_pb2.MomentCodes(),
                )
            )
            answer = stubs.collections.AddRecordings(recordings(name))
            assert not any(result.HasField("error") for result in answer.results)
        drawn = training("spoken", [SPACE], toys.drawn([SPACE]))
        trained(stubs, stubs.probes.TrainProbeOnVectors(drawn))
        yield stubs


def recordings(name: str) -> collection_pb2.AddRecordingsRequest:
    line = collection_pb2.TranscriptLine(text="hello world", span=span(1))
    made = [
        collection_pb2.Recording(
            id=f"r{number}",
            metadata={"kind": collection_pb2.Value(text="ab"[number % 2])},
            audio=pcm(speech(2, number)),
            transcript=[line],
        )
        for number in range(4)
    ]
    return collection_pb2.AddRecordingsRequest(collection=name, recordings=made)


def span(seconds: int) -> types_pb2.TimeSpan:
    whole = types_pb2.TimeSpan()
    whole.end.seconds = seconds
    return whole


def right() -> dict[str, list[list[Any]]]:
    """Requests by method that are right, as the messages of each."""
    sound, form, data = pcm(speech(1)), pcm_format(), s16(speech(1))
    collection: Any = collection_pb2
    embedding: Any = embedding_pb2
    probe: Any = probe_pb2
    search: Any = search_pb2
    text: Any = transcription_pb2
    where = {"equals": {"field": "kind", "value": {"text": "a"}}}
    held = {"collection": COLLECTION}
    outputs = {"outputs": [{"name": "v"}, {"name": "f", "layer": 2}], "probes": ["language"]}
    return {
        "Embed": [[embedding.EmbedRequest(audio=sound, options=outputs)]],
        "StreamEmbed": [
            [
                embedding.StreamEmbedRequest(config={"pcm": form, "options": outputs}),
                embedding.StreamEmbedRequest(audio=data),
            ]
        ],
        "AddRecordings": [[recordings(COLLECTION)]],
        "UploadRecording": [
            [
                collection.UploadRecordingRequest(config={**held, "id": "new", "pcm": form}),
                collection.UploadRecordingRequest(audio=data),
            ]
        ],
        "Search": [
            [search.SearchRequest(**held, audio=sound, top_k=5, filter=where)],
            [search.SearchRequest(**held, audio=sound, moments={})],
            [search.SearchRequest(**held, recording_id="r1", space="voice", explain=True)],
        ],
        "SearchText": [
            [search.SearchTextRequest(**held, phones="t e l", audio=sound)],
            [search.SearchTextRequest(**held, text="hello world", filter=where)],
        ],
        "MinePairs": [[search.MinePairsRequest(left={**held, "filter": where}, right=held)]],
        "ClassifyAudio": [
            [probe.ClassifyAudioRequest(audio=sound, probes=["language"], timeline={})]
        ],
        "ClassifyVectors": [
            [
                probe.ClassifyVectorsRequest(
                    probe="spoken",
                    vectors=examples()[1].examples.vectors,
                    space_fingerprints=[SPACE.fingerprint],
                )
            ]
        ],
        "TrainProbeOnVectors": [examples()],
        "Transcribe": [
            [text.TranscribeRequest(audio=sound, options={"beam": 4, "alternatives": 2})]
        ],
        "StreamTranscribe": [
            [
                text.StreamTranscribeRequest(config={"pcm": form, "mode": mode, "events": True}),
                text.StreamTranscribeRequest(audio=data),
            ]
            for mode in (1, 2)
        ],
        "Align": [[text.AlignRequest(audio=sound, text="t e l")]],
        "BatchTranscribe": [
            [
                text.BatchTranscribeRequest(config={}),
                text.BatchTranscribeRequest(file={"id": "a", "pcm": form}),
                text.BatchTranscribeRequest(audio=data),
            ]
        ],
    }


def examples() -> list[Any]:
    return list(training("another", [SPACE], toys.drawn([SPACE])))


def methods() -> dict[str, Any]:
    services = [service for file in files() for service in file.services_by_name.values()]
    services += operations_pb2.DESCRIPTOR.services_by_name.values()
    return {method.name: method for service in services for method in service.methods}


def answered(stubs: Stubs, method: Any, messages: Iterable[Message]) -> grpc.StatusCode:
    """The status of a call of any method; the wire does not tell streams from single messages."""
    call = stubs.channel.stream_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    try:
        list(call(iter(messages), timeout=60))
    except grpc.RpcError as error:
        status: Any = error
        code: grpc.StatusCode = status.code()
        return code
    return grpc.StatusCode.OK


def check(
    stubs: Stubs, log: pytest.LogCaptureFixture, method: Any, messages: Sequence[Message]
) -> grpc.StatusCode:
    """Call it; fail with all that was sent when it is answered by a bug, or not at all."""
    status = answered(stubs, method, messages)
    bugs = [record for record in log.records if record.message == "bug"]
    is_well = status in ALLOWED | {grpc.StatusCode.OK} and not bugs
    assert is_well, f"{method.name} {status}: {messages}"[:5000]
    return status


def from_nothing(stubs: Stubs, log: pytest.LogCaptureFixture, each: int) -> None:
    log.set_level(logging.WARNING)
    for name, method in methods().items():
        kind = GetMessageClass(method.input_type)
        for number in range(each):
            random = Random(f"{name} {number}")
            count = random.randint(1, 3) if method.client_streaming else 1
            share = random.choice((0.1, 0.3, 0.6, 0.9))
            check(stubs, log, method, [filled(random, kind(), share) for _ in range(count)])


def changed_ones(stubs: Stubs, log: pytest.LogCaptureFixture, each: int) -> None:
    log.set_level(logging.WARNING)
    known = methods()
    for name, requests in right().items():
        for request in requests:
            assert check(stubs, log, known[name], request) is grpc.StatusCode.OK
        for number in range(each):
            random = Random(f"{name} {number}")
            messages = list(random.choice(requests))
            place = random.randrange(len(messages))
            messages[place] = changed(random, messages[place])
            check(stubs, log, known[name], messages)


def test_what_nobody_would_send_is_refused(
    open_to_all: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    from_nothing(open_to_all, caplog, EACH)


def test_what_is_nearly_right_is_answered_or_refused(
    open_to_all: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    changed_ones(open_to_all, caplog, EACH)


@pytest.mark.slow
def test_a_thousand_of_each_find_no_bug(
    open_to_all: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    from_nothing(open_to_all, caplog, 200)
    changed_ones(open_to_all, caplog, 1000)
