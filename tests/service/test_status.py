"""What callers are told of bugs, and what becomes of calls that nobody waits for any more."""

import asyncio
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from embedsvc import telemetry
from embedsvc.audio import features
from embedsvc.batching import Batcher
from embedsvc.client.local import LocalServer
from embedsvc.encoder import Encoder
from embedsvc.service import backend
from embedsvc.timing import frame_count
from embedsvc.types import Floats
from embedsvc.v1 import (
    collection_pb2,
    embedding_pb2,
    probe_pb2,
    search_pb2,
    types_pb2,
)
from tests.service.calls import (
    BOUND,
    Refusal,
    Stubs,
    adding,
    code_of,
    file_of,
    item_refusal,
    pcm,
    pcm_format,
    recording,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)

POISON = 0.777
"""Seconds of the utterance that some test lets the server stumble over."""

_seeds = itertools.count()

Poisoned = Callable[[BaseException], None]


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Poisoned:
    """Lets the encoder raise an error at utterances of POISON seconds."""
    frames = frame_count(round(POISON * 16_000))
    check = Encoder._check

    def poison(error: BaseException) -> None:
        def stumble(self: Encoder, utterances: Any, asks: Any) -> None:
            if any(len(utterance) == frames for utterance in utterances):
                raise error
            check(self, utterances, asks)

        monkeypatch.setattr(Encoder, "_check", stumble)

    return poison


def poison() -> types_pb2.Audio:
    """An utterance of POISON seconds that is not in quarantine."""
    return pcm(speech(POISON, next(_seeds)))


def bad_calls(stubs: Stubs, collection: str) -> Iterator[Refusal]:
    """The refusals of every way to embed the poison, each time another one."""
    audio = poison()
    yield refused(stubs.embedding.Embed, request(audio))
    audio = poison()
    config = embedding_pb2.EmbedUploadRequest.Config(pcm=audio.pcm.format)
    messages = upload(embedding_pb2.EmbedUploadRequest, config, audio.pcm.samples)
    yield refused(stubs.embedding.EmbedUpload, messages)
    audio = poison()
    live = embedding_pb2.StreamEmbedRequest.Config(pcm=audio.pcm.format)
    messages = upload(embedding_pb2.StreamEmbedRequest, live, audio.pcm.samples)
    yield refused(stubs.embedding.StreamEmbed, messages)
    audio = poison()
    yield refused(stubs.search.Search, search_pb2.SearchRequest(collection=collection, audio=audio))
    audio = poison()
    stored = collection_pb2.UploadRecordingRequest.Config(
        collection=collection, id="a", pcm=audio.pcm.format
    )
    messages = upload(collection_pb2.UploadRecordingRequest, stored, audio.pcm.samples)
    yield refused(stubs.collections.UploadRecording, messages)
    sent = adding(collection, recording("a", poison()), recording("good"))
    results = stubs.collections.AddRecordings(sent, timeout=30).results
    assert not results[1].HasField("error")
    yield item_refusal(results[0].error)
    batch = embedding_pb2.BatchEmbedRequest(audios=[poison(), pcm(speech())])
    items = stubs.embedding.BatchEmbed(batch, timeout=30).items
    assert items[1].HasField("embedding")
    yield item_refusal(items[0].error)


@pytest.mark.usefixtures("still_answers")
def test_a_bug_says_nothing_but_internal_and_is_logged(
    stubs: Stubs, collection: str, poisoned: Poisoned, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned(RuntimeError("secret /path"))
    for refusal in bad_calls(stubs, collection):
        assert (refusal.code, refusal.reason) == ("INTERNAL", "INTERNAL")
        assert refusal.domain == "embedsvc.v1"
        assert "secret" not in str(refusal)
        (bug,) = (record for record in caplog.records if record.message == "bug")
        assert bug.levelno == logging.ERROR
        assert "secret /path" in str(bug.exc_info)
        caplog.clear()


@pytest.mark.usefixtures("still_answers")
def test_a_cancellation_inside_is_a_bug_and_not_a_hang(
    stubs: Stubs, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(samples: Floats) -> Any:
        if len(samples) == round(POISON * 16_000):
            raise asyncio.CancelledError
        return features(samples)

    monkeypatch.setattr("embedsvc.pipeline.hearing.features", stumble)
    started = time.monotonic()
    for refusal in bad_calls(stubs, collection):
        assert refusal.code == "INTERNAL"
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ValueError("secret"), "INTERNAL", "INTERNAL"),
        (MemoryError("secret"), "RESOURCE_EXHAUSTED", "AUDIO_EXCEEDS_DEVICE"),
        (
            RuntimeError("can't allocate memory: secret"),
            "RESOURCE_EXHAUSTED",
            "AUDIO_EXCEEDS_DEVICE",
        ),
    ],
)
def test_others_in_the_batch_of_a_bug_get_their_answers(
    stubs: Stubs, poisoned: Poisoned, error: Exception, code: str, reason: str
) -> None:
    seconds = [0.4, 0.9, POISON, 1.3, 0.6, POISON, 2.0]
    alone = [
        None
        if length == POISON
        else vector(stubs.embedding.Embed(request(pcm(speech(length)))).embedding)
        for length in seconds
    ]
    poisoned(error)
    sent = [poison() if length == POISON else pcm(speech(length)) for length in seconds]
    calls = [stubs.embedding.Embed.future(request(audio)) for audio in sent]
    for call, expected in zip(calls, alone, strict=True):
        if expected is None:
            refusal = refused(call.result)
            assert (refusal.code, refusal.reason) == (code, reason)
            assert "secret" not in str(refusal)
        else:
            np.testing.assert_allclose(vector(call.result().embedding), expected, atol=BOUND)


def test_the_callers_request_id_comes_back_with_an_error_and_is_logged(
    stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, telemetry.log.name)
    metadata = (("x-request-id", "call-1"),)
    assert (
        refused(stubs.embedding.Embed, request(model="x"), metadata=metadata).trailers[
            "x-request-id"
        ]
        == "call-1"
    )
    (line,) = (record for record in caplog.records if record.message == "call")
    fields = line.fields  # type: ignore[attr-defined]  # set by telemetry
    assert fields["method"] == "EmbeddingService.Embed"
    assert (fields["status"], fields["reason"]) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert fields["request_id"] == "call-1"
    assert json.dumps(fields)


@pytest.mark.parametrize("sent", ["x" * 65, "ż"])
def test_a_request_id_that_cannot_be_logged_is_replaced(stubs: Stubs, sent: str) -> None:
    pairs = (("x-request-id", sent),) if sent.isascii() else ()
    refusal = refused(stubs.embedding.Embed, request(model="x"), metadata=pairs)
    assert len(refusal.trailers["x-request-id"]) == 16


@pytest.mark.usefixtures("still_answers")
def test_bytes_that_are_no_message_are_refused(
    stubs: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    service = "/embedsvc.v1.EmbeddingService"
    for name in ("EmbedUpload", "StreamEmbed"):
        stream: Any = stubs.channel.stream_stream(f"{service}/{name}")
        assert refused(stream, iter([b"\xff" * 50])).code == "INVALID_ARGUMENT"
    assert not [record for record in caplog.records if record.message == "bug"]
    # gRPC itself reads the only message of a call, before any code of ours.
    unary: Any = stubs.channel.unary_unary(f"{service}/Embed")
    assert refused(unary, b"\xff" * 50).code in {"UNKNOWN", "INTERNAL"}
    nothing: Any = stubs.channel.unary_unary(f"{service}/Nothing")
    assert refused(nothing, b"").code == "UNIMPLEMENTED"


class Watched:
    """A server of its own, and a look at what goes on in it."""

    def __init__(self, stubs: Stubs, server: LocalServer, batcher: Batcher) -> None:
        self.stubs = stubs
        self.batcher = batcher
        self._loop = server._loop
        time.sleep(0.3)  # the call that waited for the start is over, but not yet forgotten
        self._idle = self.counts()

    def counts(self) -> tuple[int, int, int]:
        """Tasks, frames that wait, and temporary files that are open."""
        tasks = asyncio.run_coroutine_threadsafe(self._count(), self._loop).result(5)
        return tasks, self.batcher.waiting_frames, len(temporary_files())

    def quiet(self, seconds: float = 5) -> bool:
        """Whether all that was begun is over within `seconds`."""
        until = time.monotonic() + seconds
        while self.counts() != self._idle:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    async def _count(self) -> int:
        return len(asyncio.all_tasks())


def temporary_files() -> list[str]:
    """Deleted files that this process still has open."""
    found = []
    for place in Path("/proc/self/fd").iterdir():
        try:
            path = str(place.readlink())
        except OSError:
            continue
        if path.endswith("(deleted)") and path.startswith("/tmp/"):
            found.append(path)
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made: list[Batcher] = []

    class Seen(Batcher):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "Batcher", Seen)
        server = LocalServer({"data": str(tmp_path_factory.mktemp("data"))})
    try:
        with Stubs(server.target) as stubs:
            stubs.embedding.Embed(request(), wait_for_ready=True)
            yield Watched(stubs, server, made[0])
    finally:
        server.stop()


def test_a_deadline_without_hope_is_refused_and_leaves_the_server_free(watched: Watched) -> None:
    long = request(pcm(np.tile(speech(10), 59)))
    started = time.monotonic()
    refusal = refused(watched.stubs.embedding.Embed, long, timeout=0.3)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DEADLINE_UNREACHABLE")
    assert float(refusal.facts["needed_seconds"]) > 0.3
    assert time.monotonic() - started < 0.3
    assert watched.quiet()


def test_a_deadline_ends_a_long_call_and_frees_the_server(watched: Watched) -> None:
    # A file: how long it takes is known when it is decoded, and that too takes its time.
    long = request(types_pb2.Audio(encoded=file_of(np.tile(speech(10), 30), "FLAC")))
    started = time.monotonic()
    refusal = refused(watched.stubs.embedding.Embed, long, timeout=0.05)
    assert refusal.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 2
    assert watched.stubs.embedding.Embed(request(), timeout=3).embedding.outputs
    assert watched.quiet()


def test_a_deadline_ends_calls_that_wait_in_the_queue(watched: Watched) -> None:
    # A batch waits its turn, and is ended by the deadline; a single call would be refused.
    audios = [pcm(np.tile(speech(6, seed), 10)) for seed in range(10)]
    long = embedding_pb2.BatchEmbedRequest(audios=audios)
    calls = [watched.stubs.embedding.BatchEmbed.future(long, timeout=0.4) for _ in range(2)]
    codes = {code_of(call) for call in calls if call.exception() is not None}
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert watched.quiet()


@pytest.mark.parametrize("file", [False, True])
def test_a_caller_that_leaves_while_sending_leaves_nothing_behind(
    watched: Watched, file: bool
) -> None:
    going = threading.Event()

    def messages() -> Iterator[embedding_pb2.EmbedUploadRequest]:
        form = None if file else pcm_format()
        yield embedding_pb2.EmbedUploadRequest(config={"pcm": form})  # type: ignore[arg-type]  # a message as a dict
        for _ in range(20):
            yield embedding_pb2.EmbedUploadRequest(audio=bytes(50_000))
        going.set()
        threading.Event().wait(0.3)

    call = watched.stubs.embedding.EmbedUpload.future(messages(), timeout=30)
    assert going.wait(10)
    call.cancel()
    assert watched.quiet()


@pytest.mark.parametrize("file", [False, True])
def test_a_caller_that_leaves_while_waiting_leaves_nothing_behind(
    watched: Watched, file: bool
) -> None:
    talk = np.tile(speech(20), 12)
    config = embedding_pb2.EmbedUploadRequest.Config(pcm=None if file else pcm_format())
    data = file_of(talk) if file else s16(talk)
    messages = upload(embedding_pb2.EmbedUploadRequest, config, data)
    call = watched.stubs.embedding.EmbedUpload.future(messages, timeout=30)
    until = time.monotonic() + 10
    while not watched.batcher.waiting_frames and time.monotonic() < until:
        time.sleep(0.005)
    call.cancel()
    assert watched.quiet()


def test_a_caller_that_leaves_a_stream_leaves_nothing_behind(watched: Watched) -> None:
    ended = threading.Event()

    def messages() -> Iterator[embedding_pb2.StreamEmbedRequest]:
        config = embedding_pb2.StreamEmbedRequest.Config(pcm=pcm_format())
        yield embedding_pb2.StreamEmbedRequest(config=config)
        yield embedding_pb2.StreamEmbedRequest(audio=s16(np.tile(speech(20), 3)))
        ended.wait(20)

    call = watched.stubs.embedding.StreamEmbed(messages(), timeout=30)
    assert next(call).embedding.outputs
    call.cancel()
    ended.set()
    assert watched.quiet()


def test_a_write_that_nobody_waits_for_is_stored_whole_or_not_at_all(watched: Watched) -> None:
    collections = watched.stubs.collections
    collections.CreateCollection(collection_pb2.CreateCollectionRequest(name="left"))
    for turn in range(6):
        sent = adding("left", *[recording(f"{turn}-{n}", pcm(speech(2, n))) for n in range(8)])
        collections.AddRecordings.future(sent, timeout=0.02 + 0.05 * turn).exception()
    # Once for the collection's reader connections, which stay.
    asked = collection_pb2.ListRecordingsRequest(collection="left")
    listed = collections.ListRecordings(asked).recordings
    assert watched.quiet()
    listed = collections.ListRecordings(asked).recordings
    for turn in range(6):
        assert sum(stored.id.startswith(f"{turn}-") for stored in listed) in {0, 8}


def test_a_refusal_that_repeats_a_long_request_arrives(stubs: Stubs) -> None:
    recipe = probe_pb2.ProbeRecipe(strengths=[1.0] * 100_000)
    asked = probe_pb2.TrainProbeRequest(
        name="x", collection="none", label_field="kind", recipe=recipe
    )
    refusal = refused(stubs.probes.TrainProbe, asked)
    assert (refusal.reason, refusal.path) == ("FIELD_INVALID", "recipe.strengths")
    assert refusal.message.startswith("`recipe.strengths` must be up to 16")
