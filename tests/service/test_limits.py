"""What a server with small limits refuses, and that it goes on afterwards."""

from collections.abc import Iterator

import numpy as np
import pytest

from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, embedding_pb2, search_pb2, server_pb2, types_pb2
from tests.service.calls import (
    BOUND,
    Stubs,
    adding,
    file_of,
    item_refusal,
    options,
    pcm,
    pcm_format,
    ready,
    recording,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)

FLAGS = {
    "server": {"max_request_bytes": 400_000, "max_response_bytes": 120_000},
    "audio": {"max_unary_seconds": 10, "max_upload_seconds": 30, "max_upload_bytes": 1_000_000},
    "batcher": {"queue_frames": 300, "max_batch_frames": 100, "max_batch_items": 100},
}
FRAMES = embedding_pb2.OutputSpec(pooling=types_pb2.POOLING_NONE, dtype=types_pb2.DTYPE_FLOAT32)


@pytest.fixture(scope="module")
def small() -> Iterator[Stubs]:
    """The services of a server with small limits."""
    with serving(FLAGS) as target, Stubs(target) as stubs:
        yield stubs


@pytest.fixture(autouse=True)
def goes_on(small: Stubs, usual: Floats) -> Iterator[None]:
    """The server answers as usual after each test."""
    yield
    again = vector(small.embedding.Embed(request(), timeout=60).embedding)
    np.testing.assert_allclose(again, usual, atol=BOUND)


def test_the_limits_are_told(small: Stubs) -> None:
    limits = small.server.GetServerInfo(server_pb2.GetServerInfoRequest()).limits
    assert limits.max_request_bytes == 400_000
    assert limits.max_response_bytes == 120_000
    assert (limits.max_unary_audio_seconds, limits.max_upload_audio_seconds) == (10, 30)
    assert (limits.max_upload_bytes, limits.max_batch_items) == (1_000_000, 100)
    assert limits.queue_capacity_frames == 300
    assert limits.recommended_chunk_bytes < limits.max_request_bytes


def test_a_message_over_the_limit_is_refused(small: Stubs) -> None:
    refusal = refused(small.embedding.Embed, request(types_pb2.Audio(encoded=bytes(500_000))))
    assert refusal.code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in refusal.message


def test_frames_that_would_not_fit_the_answer_are_refused_before_they_are_sent(
    small: Stubs, model: server_pb2.ModelInfo
) -> None:
    refusal = refused(small.embedding.Embed, request(pcm(speech(5)), FRAMES))
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
    assert refusal.facts == {"max_frames": str(int(120_000 * 0.95) // (4 * model.dim))}
    assert refusal.path == "options.outputs"
    assert refusal.trailers["grpc-retry-pushback-ms"] == "-1"
    assert "FLOAT16" in refusal.help


def test_frames_that_fit_are_answered(small: Stubs, model: server_pb2.ModelInfo) -> None:
    most = int(120_000 * 0.95) // (4 * model.dim)
    audio = pcm(speech(20)[: 560 + 320 * (most - 1)])
    assert small.embedding.Embed(request(audio, FRAMES)).embedding.usage.frames == most


def test_a_batch_answers_as_many_items_as_fit(small: Stubs) -> None:
    batch = embedding_pb2.BatchEmbedRequest(
        audios=[pcm(speech(1, seed)) for seed in range(6)], options=options(FRAMES)
    )
    items = small.embedding.BatchEmbed(batch).items
    answered = [item.HasField("embedding") for item in items]
    assert answered == sorted(answered, reverse=True)
    assert 0 < sum(answered) < 6
    refusal = item_refusal(items[5].error)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
    assert refusal.path == "audios[5]"


def test_stored_recordings_that_would_not_fit_the_answer_are_refused(small: Stubs) -> None:
    space = types_pb2.Space(fingerprint="t", dim=2_000)
    made = collection_pb2.CreateCollectionRequest(name="wide", foreign_space=space)
    small.collections.CreateCollection(made)
    for number in range(40):
        sent = ready(f"r{number}", np.ones((1, 2_000)), "t", note="n" * 4_000)
        small.collections.AddRecordings(adding("wide", sent))
    ids = [f"r{number}" for number in range(40)]
    getting = collection_pb2.GetRecordingsRequest(collection="wide", ids=ids, include_vectors=True)
    listing = collection_pb2.ListRecordingsRequest(collection="wide")
    searching = search_pb2.SearchRequest(collection="wide", recording_id="r0", top_k=50)
    for call, asked in (
        (small.collections.GetRecordings, getting),
        (small.collections.ListRecordings, listing),
        (small.search.Search, searching),
    ):
        refusal = refused(call, asked)
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
        assert refusal.facts["max_bytes"] == "120000"
        assert refusal.trailers["grpc-retry-pushback-ms"] == "-1"
    listing.page_size = 10
    assert len(small.collections.ListRecordings(listing).recordings) == 10


@pytest.mark.parametrize("kind", ["raw", "file"])
def test_uploads_have_limits_of_their_own(small: Stubs, kind: str) -> None:
    message = embedding_pb2.EmbedUploadRequest
    config = message.Config(pcm=pcm_format(8_000) if kind == "raw" else None)
    long = speech(31, rate=8_000)
    data = s16(long) if kind == "raw" else file_of(long, "FLAC", None, 8_000)
    refusal = refused(small.embedding.EmbedUpload, upload(message, config, data))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "AUDIO_TOO_LONG")
    assert refusal.facts["limit_seconds"] == "30.0"
    large = upload(message, config, bytes(1_000_001))
    refusal = refused(small.embedding.EmbedUpload, large)
    assert (refusal.reason, refusal.facts) == ("AUDIO_TOO_LONG", {"max_bytes": "1000000"})


@pytest.mark.parametrize(
    ("container", "codec"), [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)]
)
def test_a_small_file_of_much_silence_is_refused(
    small: Stubs, container: str, codec: str | None
) -> None:
    data = file_of(np.zeros(11 * 16_000, np.float32), container, codec)
    assert len(data) < 50_000
    refusal = refused(small.embedding.Embed, request(types_pb2.Audio(encoded=data)))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "AUDIO_TOO_LONG")


def test_audio_over_the_unary_limit_goes_by_upload(small: Stubs) -> None:
    audio = pcm(speech(11))
    refusal = refused(small.embedding.Embed, request(audio))
    assert (refusal.reason, refusal.facts["limit_seconds"]) == ("AUDIO_TOO_LONG", "10.0")
    config = embedding_pb2.EmbedUploadRequest.Config(pcm=audio.pcm.format)
    messages = upload(embedding_pb2.EmbedUploadRequest, config, audio.pcm.samples)
    assert small.embedding.EmbedUpload(messages).embedding.usage.audio_seconds == 11


def test_a_full_queue_says_when_to_come_back(small: Stubs) -> None:
    requests = [request(pcm(speech(9, seed))) for seed in range(40)]
    calls = [small.embedding.Embed.future(each) for each in requests]
    refusals = [refused(call.result) for call in calls if call.exception() is not None]
    assert 0 < len(refusals) < len(calls)
    for refusal in refusals:
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert refusal.facts["queue_frames"] == "300"
        assert refusal.facts["lane"] == "interactive"
        assert int(refusal.facts["waiting_frames"]) > 0
        assert refusal.retry_seconds is not None
        assert refusal.retry_seconds >= 0.1
        milliseconds = int(refusal.trailers["grpc-retry-pushback-ms"])
        assert milliseconds == pytest.approx(1_000 * refusal.retry_seconds, abs=1)


def test_a_full_queue_slows_batches_uploads_and_writes_down_instead(small: Stubs) -> None:
    made = collection_pb2.CreateCollectionRequest(name="busy")
    small.collections.CreateCollection(made)
    audios = [pcm(speech(0.7, seed)) for seed in range(15)]
    batch = small.embedding.BatchEmbed.future(embedding_pb2.BatchEmbedRequest(audios=audios))
    sent = [recording(f"r{seed}", audio) for seed, audio in enumerate(audios)]
    write = small.collections.AddRecordings.future(adding("busy", *sent))
    assert all(item.HasField("embedding") for item in batch.result(60).items)
    assert not any(result.HasField("error") for result in write.result(60).results)


def test_waiting_for_room_is_not_waiting_forever(small: Stubs) -> None:
    # The largest utterance is larger than the queue, which takes it when nothing waits.
    assert small.embedding.Embed(request(pcm(speech(10))), timeout=30).embedding.outputs
