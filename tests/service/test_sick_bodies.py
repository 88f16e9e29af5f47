"""A model beside that of the server falls ill: its heads are refused, and all else goes on."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from google.longrunning import operations_pb2
from grpc_health.v1 import health_pb2

from embedsvc import telemetry
from embedsvc.client import Client
from embedsvc.encoder import Encoder
from embedsvc.encoder.waveform import WaveformEncoder
from embedsvc.pipeline.bodies import Bodies, load_bodies
from embedsvc.service import backend
from embedsvc.testing import serving
from embedsvc.v1 import collection_pb2, embedding_pb2, server_pb2, transcription_pb2
from tests.encoder.ctc.published import READS_SAMPLES, published, wave
from tests.service.calls import (
    Stubs,
    adding,
    item_refusal,
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
from tests.service.test_heads import SOUND, many_languages
from tests.service.ward import (
    NOT_SERVING,
    SECRET,
    SERVICE,
    SERVING,
    Illness,
    Ward,
    text,
)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("models")
    heads = {
        "mms": f"{many_languages(folder / 'mms')}:eng,spa",
        "base": f"{published(wave(), READS_SAMPLES(), folder / 'base', SOUND)}:fra",
    }
    loaded: list[Bodies] = []

    def seen(*arguments: Any, **options: Any) -> Bodies:
        loaded.append(load_bodies(*arguments, **options))
        return loaded[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "load_bodies", seen)
        patch.setattr("embedsvc.batching.canary.IDLE", 0.05)
        patch.setattr("embedsvc.batching.canary.SICK", 0.05)
        flags = {"model": {"heads": heads}, "batcher": {"stall_seconds": 1.0}}
        with serving(flags) as target, Stubs(target) as stubs:
            yield Ward(stubs, loaded[0])


@pytest.fixture
def illness(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Iterator[Illness]:
    made, check, sick = Illness(ward), WaveformEncoder._check, ward.mms

    def checked(self: WaveformEncoder, *arguments: Any) -> None:
        if self is sick:
            made()
        check(self, *arguments)

    monkeypatch.setattr(WaveformEncoder, "_check", checked)
    yield made
    made.end()


def test_a_server_tells_what_it_has_loaded(ward: Ward) -> None:
    mini, *others = ward.told()
    assert (mini.model, mini.serving) == ("mini", True)
    assert {"phones", "letters-spa"} <= set(mini.heads)
    model = ward.stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).model
    assert (mini.weights, mini.parameter_count) == (model.weights, model.parameter_count)
    assert [(each.model, list(each.heads)) for each in others] == [
        ("mms", ["mms-eng", "mms-spa"]),
        ("base", ["base"]),
    ]
    for each in (mini, *others):
        assert (each.precision, each.device) == ("fp32", "cpu")
        assert each.serving
        assert not each.HasField("not_serving_since")
    assert others[0].parameter_count == ward.mms.parameters


def test_each_head_has_a_health_of_its_own(ward: Ward) -> None:
    for head in ("phones", "mms-eng", "base"):
        assert ward.health(f"{SERVICE}/{head}") == SERVING
    asked = health_pb2.HealthCheckRequest(service=f"{SERVICE}/nobody")
    assert refused(ward.stubs.health.Check, asked).code == "NOT_FOUND"


def test_a_head_whose_model_is_ill_is_refused_and_served_again(
    ward: Ward, illness: Illness
) -> None:
    before = ward.write("mms-spa")
    assert before
    first = illness.begin()
    for refusal in (first, ward.refusal("mms-spa"), ward.refusal("mms-eng")):
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "HEAD_UNAVAILABLE")
        assert repr(refusal.facts["head"]) in refusal.message
        assert refusal.retry_seconds is not None
        assert 0 < refusal.retry_seconds < 10
        pushback = float(refusal.trailers["grpc-retry-pushback-ms"])
        assert pushback == pytest.approx(refusal.retry_seconds * 1000, abs=1)
        assert SECRET not in str(refusal)
    illness.end()
    assert ward.write("mms-spa") == before


def test_everything_else_goes_on_meanwhile(ward: Ward, illness: Illness) -> None:
    expected = vector(ward.stubs.embedding.Embed(request()).embedding)
    texts = {head: ward.write(head) for head in ("base", "phones")}
    illness.begin()

    def one(number: int) -> bool:
        head = ("base", "phones", "mms-eng", "")[number % 4]
        if head == "mms-eng":
            return ward.refusal(head).reason == "HEAD_UNAVAILABLE"
        if head:
            return ward.write(head) == texts[head]
        found = vector(ward.stubs.embedding.Embed(request()).embedding)
        return np.allclose(found, expected, atol=2e-5)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(40)))
    for name in ("", SERVICE, "embedsvc.v1.EmbeddingService", f"{SERVICE}/base"):
        assert ward.health(name) == SERVING
    assert ward.health(f"{SERVICE}/mms-eng") == NOT_SERVING
    queue = ward.stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).queue
    assert (queue.quarantined, queue.refused) == (0, 0)


def test_a_server_tells_which_of_its_models_is_ill_and_since_when(
    ward: Ward, illness: Illness
) -> None:
    began = time.time()
    illness.begin()
    told = {each.model: each for each in ward.told()}
    assert [name for name, each in told.items() if not each.serving] == ["mms"]
    since = told["mms"].not_serving_since.ToNanoseconds() / 1e9
    assert began <= since <= time.time()
    time.sleep(0.2)
    again = {each.model: each for each in ward.told()}
    assert again["mms"].not_serving_since == told["mms"].not_serving_since
    assert SECRET not in str(told["mms"])
    with Client(ward.stubs.target) as client:
        bodies = client.info().bodies
        assert [each.not_serving_since for each in bodies] == [None, pytest.approx(since), None]
        illness.end()
        assert not client.info().bodies[1].serving, "it is asked once"
        assert client.info(refresh=True).bodies[1].serving


def test_who_runs_the_server_finds_the_reason_in_its_log(
    ward: Ward, illness: Illness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, telemetry.log.name)
    illness.begin()
    illness.end()
    changes = [each for each in caplog.records if each.message == "health"]
    fields: list[Any] = [getattr(each, "fields", {}) for each in changes]
    assert [each["serving"] for each in fields] == [False, True]
    assert fields[0]["body"].startswith("mms@")
    assert fields[0]["fault"] == "the encoder fails on a known clip: ArithmeticError"
    (bug,) = (each for each in caplog.records if each.message == "bug")
    assert bug.exc_info is not None
    assert SECRET in str(bug.exc_info[1])


def test_weights_that_are_spoilt_are_found_before_anybody_asks(ward: Ward) -> None:
    before = ward.write("mms-spa")
    weight = ward.mms.network.norm.weight
    good = weight.clone()
    try:
        weight.fill_(torch.nan)
        ward.becomes("mms-spa", NOT_SERVING)
        assert ward.refusal("mms-eng").reason == "HEAD_UNAVAILABLE"
        assert ward.write("base")
    finally:
        weight.copy_(good)
    ward.becomes("mms-spa", SERVING)
    assert ward.write("mms-spa") == before


def written_down(ward: Ward, name: str, *heads: str) -> str:
    """A new collection that keeps texts of these heads."""
    texts = collection_pb2.CollectionTexts(heads=heads)
    create = collection_pb2.CreateCollectionRequest(name=name, texts=texts)
    ward.stubs.collections.CreateCollection(create)
    return name


def count(ward: Ward, collection: str) -> int:
    asked = collection_pb2.CountRecordingsRequest(collection=collection)
    return ward.stubs.collections.CountRecordings(asked).count


def outcomes(reply: collection_pb2.AddRecordingsResponse) -> list[str]:
    return [
        item_refusal(each.error).reason if each.HasField("error") else "stored"
        for each in reply.results
    ]


def test_what_cannot_be_written_down_is_not_indexed_in_part(ward: Ward, illness: Illness) -> None:
    name = written_down(ward, "kept", "phones", "mms-spa")
    asked = collection_pb2.GetCollectionRequest(name=name)
    space = ward.stubs.collections.GetCollection(asked).collection.space
    vectors = np.eye(2, space.dim, dtype=np.float32)
    write = adding(
        name,
        recording("heard", pcm(SOUND)),
        ready("made", vectors, space.fingerprint),
        request_id="once",
    )
    illness.begin()
    assert outcomes(ward.stubs.collections.AddRecordings(write)) == ["HEAD_UNAVAILABLE", "stored"]
    assert count(ward, name) == 1
    kind = collection_pb2.UploadRecordingRequest
    config = kind.Config(collection=name, id="long", pcm=pcm_format())
    sent = upload(kind, config, s16(speech(3.0)))
    assert refused(ward.stubs.collections.UploadRecording, sent).reason == "HEAD_UNAVAILABLE"
    assert count(ward, name) == 1
    illness.end()
    # The same write again is done again, and not answered with what became of it before.
    assert outcomes(ward.stubs.collections.AddRecordings(write)) == ["stored", "stored"]
    get = collection_pb2.GetRecordingsRequest(collection=name, ids=["heard"], include_texts=True)
    (stored,) = ward.stubs.collections.GetRecordings(get).recordings
    assert "mms-spa" in {line.head for line in stored.texts}
    assert count(ward, name) == 2


def test_a_collection_without_its_texts_is_filled_meanwhile(ward: Ward, illness: Illness) -> None:
    name = written_down(ward, "other", "phones", "base")
    illness.begin()
    assert outcomes(ward.stubs.collections.AddRecordings(adding(name, recording("one")))) == [
        "stored"
    ]


def test_live_speech_is_ended_with_the_reason(ward: Ward, illness: Illness) -> None:
    kind = transcription_pb2.StreamTranscribeRequest
    heard, ill = s16(speech(4.0)), threading.Event()

    def messages() -> Iterator[Any]:
        yield kind(config=kind.Config(head="mms-spa", pcm=pcm_format()))
        yield kind(audio=heard)
        assert ill.wait(30)
        yield kind(audio=heard)

    call = ward.stubs.transcription.StreamTranscribe(messages(), timeout=60)
    next(call)  # so it was let in
    illness.begin()
    ill.set()
    refusal = refused(lambda **_: call)
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "HEAD_UNAVAILABLE")
    assert refusal.facts == {"head": "mms-spa"}


def begun(ward: Ward) -> str:
    """A batch of two files that are to be written by the head that falls ill."""
    kind = transcription_pb2.BatchTranscribeRequest

    def messages() -> Iterator[Any]:
        yield kind(config=kind.Config(head="mms-spa"))
        for name in ("one", "two"):
            yield kind(file=kind.File(id=name, pcm=pcm_format()))
            yield kind(audio=s16(SOUND))

    return str(ward.stubs.transcription.BatchTranscribe(messages(), timeout=60).name)


def is_over(ward: Ward, operation: str, seconds: int) -> bool:
    wait = operations_pb2.WaitOperationRequest(name=operation)
    wait.timeout.seconds = seconds
    return bool(ward.stubs.operations.WaitOperation(wait).done)


def transcripts(ward: Ward, operation: str) -> list[Any]:
    asked = transcription_pb2.ListTranscriptsRequest(operation=operation)
    return list(ward.stubs.transcription.ListTranscripts(asked).transcripts)


def test_a_batch_waits_for_its_head(ward: Ward, illness: Illness) -> None:
    expected = ward.write("mms-spa")
    illness.begin()
    operation = begun(ward)
    assert not is_over(ward, operation, 1)
    illness.end()
    assert is_over(ward, operation, 30)
    found = transcripts(ward, operation)
    assert [text(each.transcript.segments) for each in found] == [expected] * 2


def test_a_batch_waits_not_for_ever(
    ward: Ward, illness: Illness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedsvc.pipeline.batch_transcribing.ILL_SECONDS", 0.2)
    illness.begin()
    operation = begun(ward)
    assert is_over(ward, operation, 30)
    reasons = [item_refusal(each.status).reason for each in transcripts(ward, operation)]
    assert reasons == ["HEAD_UNAVAILABLE"] * 2


@pytest.fixture
def main_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Lets the served model fail on everything, or no longer."""
    state, check = {"fails": False}, Encoder._check

    def checked(self: Encoder, utterances: Sequence[Any], asks: Any) -> None:
        if state["fails"]:
            raise ArithmeticError(SECRET)
        check(self, utterances, asks)

    def fail(fails: bool) -> None:
        state["fails"] = fails

    monkeypatch.setattr(Encoder, "_check", checked)
    yield fail
    fail(False)


def test_a_served_model_that_is_ill_takes_the_whole_server_out_of_service(
    ward: Ward, main_fails: Callable[[bool], None]
) -> None:
    main_fails(True)
    ward.becomes("base", NOT_SERVING)
    for name in (SERVICE, "embedsvc.v1.EmbeddingService", f"{SERVICE}/phones"):
        assert ward.health(name) == NOT_SERVING
    assert [each.model for each in ward.told() if not each.serving] == ["mini"]
    assert ward.write("base"), "whoever asks it nevertheless is answered"
    assert refused(
        ward.stubs.embedding.Embed, embedding_pb2.EmbedRequest(audio=pcm(SOUND))
    ).code == ("INTERNAL")
    main_fails(False)
    ward.becomes("base", SERVING)
    assert ward.health(SERVICE) == SERVING
