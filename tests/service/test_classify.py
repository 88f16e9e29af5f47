"""What probes say over gRPC: of audio, of hours of it, of vectors and of live streams."""

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from embedsvc.types import Floats
from embedsvc.v1 import classification_pb2, embedding_pb2, probe_pb2, types_pb2
from embedsvc.wire import tensors
from tests.probes import toys
from tests.service import probing
from tests.service.calls import (
    RATE,
    Stubs,
    file_of,
    options,
    pcm,
    pcm_format,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)
from tests.service.probing import put, sound


@pytest.fixture(scope="module")
def probes(stubs: Stubs) -> Stubs:
    """A server with a probe of vectors, one of two layers, one of frames and one of nowhere."""
    put(stubs, "kind", probing.learned(stubs, 4))
    put(stubs, "layers", probing.learned(stubs, 2, 5))
    put(stubs, "frames", probing.learned(stubs, 4, pooling=types_pb2.POOLING_NONE))
    put(stubs, "pets", toys.probe())
    return stubs


def asking(samples: Floats, *names: str, **fields: Any) -> probe_pb2.ClassifyAudioRequest:
    return probe_pb2.ClassifyAudioRequest(audio=pcm(samples), probes=names, **fields)


def timeline(window: float = 1.0, hop: float = 0.5, agree: int = 2) -> probe_pb2.Timeline:
    asked = probe_pb2.Timeline(agree=agree)
    asked.window.FromNanoseconds(int(window * 1e9))
    asked.hop.FromNanoseconds(int(hop * 1e9))
    return asked


def seconds(span: types_pb2.TimeSpan) -> tuple[float, float]:
    return span.start.ToNanoseconds() / 1e9, span.end.ToNanoseconds() / 1e9


def mixed() -> Floats:
    """Four seconds of a voice, then four of noise, then four of a voice."""
    return np.concatenate([sound("hum", 4), sound("hiss", 4), sound("hum", 4, 3)])


def told(spans: Sequence[classification_pb2.ClassifiedSpan]) -> list[str]:
    return [", ".join(each.classification.labels) for each in spans]


@pytest.mark.parametrize("kind", probing.KINDS)
def test_all_probes_answer_from_one_pass(probes: Stubs, kind: str) -> None:
    asked = asking(sound(kind, 2, 50), "kind", "layers", "frames@1")
    reply = probes.probes.ClassifyAudio(asked, timeout=30)
    assert [each.probe for each in reply.classifications] == ["kind", "layers", "frames"]
    for each in reply.classifications:
        assert list(each.labels) == [kind]
        assert each.version == 1
        assert each.scores[0].label == kind
        assert sum(score.probability for score in each.scores) == pytest.approx(1, abs=1e-3)
        assert each.speech_seconds == pytest.approx(2, abs=0.1)
    assert reply.usage.audio_seconds == 2
    assert not reply.timelines


def test_an_embedding_is_the_same_with_probes_beside_it(probes: Stubs) -> None:
    audio = pcm(sound("hum", 3, 9))
    alone = vector(probes.embedding.Embed(request(audio), timeout=30).embedding)
    asked = request(audio, probes=["kind", "layers", "frames"])
    both = probes.embedding.Embed(asked, timeout=30).embedding
    np.testing.assert_allclose(vector(both), alone, atol=2e-5)
    direct = probes.probes.ClassifyAudio(asking(sound("hum", 3, 9), "kind", "layers", "frames"))
    for one, other in zip(both.classifications, direct.classifications, strict=True):
        assert one.labels == other.labels
        assert one.scores[0].probability == pytest.approx(other.scores[0].probability, abs=1e-3)


def test_segments_are_the_same_with_probes_beside_them(probes: Stubs) -> None:
    audio = pcm(np.concatenate([sound("hum", 3, 9), sound("hum", 22, 8)]))
    cut = options(segment_length=Duration(seconds=4), segment_hop=Duration(seconds=2))
    asked = embedding_pb2.EmbedRequest(audio=audio, options=cut)
    alone = vector(probes.embedding.Embed(asked, timeout=30).embedding)
    asked.options.probes.extend(["kind", "layers", "frames"])
    both = probes.embedding.Embed(asked, timeout=30).embedding
    np.testing.assert_allclose(vector(both), alone, atol=2e-5)
    whole = request(audio, probes=["kind", "layers", "frames"])
    expected = probes.embedding.Embed(whole, timeout=30).embedding.classifications
    for one, other in zip(both.classifications, expected, strict=True):
        assert one.labels == other.labels
        assert one.scores[0].probability == pytest.approx(other.scores[0].probability, abs=1e-3)


def test_batches_uploads_and_streams_ask_probes_too(probes: Stubs) -> None:
    asked = embedding_pb2.BatchEmbedRequest(
        audios=[pcm(sound(kind, 1, 70)) for kind in probing.KINDS], options=options(probes=["kind"])
    )
    items = probes.embedding.BatchEmbed(asked, timeout=30).items
    assert [item.embedding.classifications[0].labels[0] for item in items] == list(probing.KINDS)
    config = embedding_pb2.EmbedUploadRequest.Config(options=options(probes=["kind", "frames"]))
    kind = embedding_pb2.EmbedUploadRequest
    messages = upload(kind, config, file_of(sound("hiss", 50, 8)))
    embedding = probes.embedding.EmbedUpload(messages, timeout=60).embedding
    assert [list(each.labels) for each in embedding.classifications] == [["hiss"], ["hiss"]]
    stream = embedding_pb2.StreamEmbedRequest
    live = stream.Config(pcm=pcm_format(), options=options(probes=["kind"]))
    windows = probes.embedding.StreamEmbed(upload(stream, live, s16(sound("hum", 30, 8))))
    heard = [window.embedding.classifications[0].labels[0] for window in windows]
    assert set(heard) == {"hum"}
    assert len(heard) > 1


@pytest.mark.parametrize("name", ["kind", "layers", "frames"])
def test_a_timeline_says_when(probes: Stubs, name: str) -> None:
    asked = asking(mixed(), name, timeline=timeline())
    (found,) = probes.probes.ClassifyAudio(asked, timeout=30).timelines
    assert found.probe == name
    assert told(found.spans) == ["hum", "hiss", "hum"]
    edges = [seconds(each.span) for each in found.spans]
    assert edges[0][0] == 0
    assert edges[-1][1] == 12
    for (_, end), (start, _) in pairwise(edges):
        assert start == end
    assert edges[1] == pytest.approx((4, 8), abs=0.6)
    spoken = [each.classification.speech_seconds for each in found.spans]
    assert sum(spoken) == pytest.approx(12, abs=0.2)


def test_an_upload_is_answered_as_the_same_audio_in_one_message(probes: Stubs) -> None:
    samples = np.concatenate([mixed(), mixed(), mixed()])
    names = ("kind", "frames")
    asked = asking(samples, *names, timeline=timeline(2, 1))
    whole = probes.probes.ClassifyAudio(asked, timeout=60)
    kind = probe_pb2.ClassifyUploadRequest
    config = kind.Config(probes=names, timeline=timeline(2, 1), pcm=pcm_format())
    reply = probes.probes.ClassifyUpload(upload(kind, config, s16(samples)), timeout=60)
    assert reply.classifications == whole.classifications
    assert reply.timelines == whole.timelines
    assert told(whole.timelines[0].spans)[:3] == ["hum", "hiss", "hum"]


def test_silence_is_too_short(probes: Stubs) -> None:
    asked = asking(np.zeros(3 * RATE, np.float32), "kind", "frames", timeline=timeline())
    reply = probes.probes.ClassifyAudio(asked, timeout=30)
    for each in reply.classifications:
        assert each.unknown == classification_pb2.UNKNOWN_REASON_TOO_SHORT
        assert not each.labels
        assert each.scores
        assert each.speech_seconds == 0
    for found in reply.timelines:
        (span,) = found.spans
        assert span.classification.unknown == classification_pb2.UNKNOWN_REASON_TOO_SHORT
        assert seconds(span.span) == (0, 3)


def test_sound_between_silences_is_counted(probes: Stubs) -> None:
    silence = np.zeros(2 * RATE, np.float32)
    samples = np.concatenate([silence, sound("hum", 0.3, 4), silence])
    (short,) = probes.probes.ClassifyAudio(asking(samples, "kind"), timeout=30).classifications
    assert short.speech_seconds == pytest.approx(0.3, abs=0.05)
    assert short.unknown == classification_pb2.UNKNOWN_REASON_TOO_SHORT


def test_the_smallest_audio_is_answered(probes: Stubs) -> None:
    asked = asking(speech(0.04), "kind", "frames", timeline=timeline())
    reply = probes.probes.ClassifyAudio(asked, timeout=30)
    assert len(reply.classifications) == 2
    assert [len(each.spans) for each in reply.timelines] == [1, 1]


def test_live_audio_is_answered_window_by_window(probes: Stubs) -> None:
    kind = probe_pb2.StreamClassifyRequest
    config = kind.Config(pcm=pcm_format(), probes=["kind", "frames"], timeline=timeline())
    messages = upload(kind, config, s16(mixed()), chunk=3_210)
    heard = list(probes.probes.StreamClassify(messages, timeout=60))
    edges = [seconds(each.span) for each in heard]
    assert edges == [(at / 2, at / 2 + 1) for at in range(23)]
    held = [each.labels[0] for each in heard]
    assert [held[0], held[11], held[-1]] == ["hum", "hiss", "hum"]
    # Two windows agree before another answer holds.
    first = next(n for n, each in enumerate(heard) if each.classifications[0].labels == ["hiss"])
    assert (held[first], held[first + 1]) == ("hum", "hiss")


def test_a_live_answer_comes_before_the_stream_ends(probes: Stubs) -> None:
    kind = probe_pb2.StreamClassifyRequest
    go_on = threading.Event()

    def messages() -> Iterator[Any]:
        config = kind.Config(pcm=pcm_format(), probes=["kind"], timeline=timeline())
        yield kind(config=config)
        yield kind(audio=s16(sound("hum", 1.01)))
        assert go_on.wait(30)
        yield kind(audio=s16(sound("hum", 0.2)))

    call = probes.probes.StreamClassify(messages(), timeout=60)
    assert seconds(next(call).span) == (0, 1)
    go_on.set()
    # What is left is less than half a hop.
    assert list(call) == []


def test_a_stream_shorter_than_its_window_is_answered_once(probes: Stubs) -> None:
    kind = probe_pb2.StreamClassifyRequest
    config = kind.Config(pcm=pcm_format(), probes=["kind"])
    (only,) = probes.probes.StreamClassify(upload(kind, config, s16(sound("hum", 0.8))))
    assert seconds(only.span) == (0, 0.8)


def test_vectors_are_answered_in_their_order(probes: Stubs) -> None:
    drawn = toys.drawn([toys.space()], each=20)
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="pets",
        vectors=tensors.tensor_message(drawn.vectors),
        space_fingerprints=["f00"],
        top_n=1,
    )
    said = probes.probes.ClassifyVectors(asked, timeout=30).classifications
    right = [each.labels == [label] for each, label in zip(said, drawn.labels, strict=True)]
    assert np.mean(right) > 0.85
    assert {len(each.scores) for each in said} == {1}


def test_vectors_of_another_space_are_refused(probes: Stubs) -> None:
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="pets",
        vectors=tensors.tensor_message(np.ones((1, toys.DIM), np.float32)),
        space_fingerprints=["f01"],
    )
    refusal = refused(probes.probes.ClassifyVectors, asked)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert (refusal.facts["wanted_fingerprint"], refusal.facts["given_fingerprint"]) == (
        "f00",
        "f01",
    )


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((1, 3)),
        np.ones((0, toys.DIM)),
        np.ones((10_001, toys.DIM)),
        np.full((1, toys.DIM), np.nan),
    ],
)
def test_vectors_that_do_not_fit_are_refused(probes: Stubs, rows: Floats) -> None:
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="pets",
        vectors=tensors.tensor_message(np.asarray(rows, np.float32)),
        space_fingerprints=["f00"],
    )
    refusal = refused(probes.probes.ClassifyVectors, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "vectors")


def test_a_probe_of_another_model_is_refused_for_audio(probes: Stubs) -> None:
    refusal = refused(probes.probes.ClassifyAudio, asking(speech(1), "kind", "pets"))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert refusal.path == "probes[1]"
    assert refusal.facts["wanted_fingerprint"] == "f00"
    assert len(refusal.facts["made_fingerprint"]) == 32


def test_a_probe_and_a_request_of_two_windowings_are_refused(probes: Stubs) -> None:
    windowing = types_pb2.Windowing()
    windowing.length.seconds = 10
    asked = request(pcm(speech(1)), probes=["kind"], windowing=windowing)
    refusal = refused(probes.embedding.Embed, asked)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert refusal.path == "options.probes[0]"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"probes": []}, "probes"),
        ({"probes": ["kind"] * 2}, "probes"),
        ({"probes": [f"p{n}" for n in range(17)]}, "probes"),
        ({"probes": ["../kind"]}, "probes[0]"),
        ({"probes": ["kind"], "timeline": timeline(0.4)}, "timeline.window"),
        ({"probes": ["kind"], "timeline": timeline(61)}, "timeline.window"),
        ({"probes": ["kind"], "timeline": timeline(1, 0.03)}, "timeline.hop"),
        ({"probes": ["kind"], "timeline": timeline(1, 2)}, "timeline.hop"),
        ({"probes": ["kind"], "timeline": timeline(1, 0.21)}, "timeline.hop"),
        ({"probes": ["kind"], "timeline": timeline(1, 0.3)}, "timeline.window"),
        ({"probes": ["kind"], "timeline": timeline(agree=101)}, "timeline.agree"),
        ({"probes": ["kind"], "lane": 9}, "lane"),
    ],
)
def test_a_request_that_can_not_be_answered_names_its_field(
    probes: Stubs, fields: dict[str, Any], path: str
) -> None:
    asked = probe_pb2.ClassifyAudioRequest(audio=pcm(speech(1)), **fields)
    refusal = refused(probes.probes.ClassifyAudio, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)


def test_a_probe_that_is_not_there_is_not_found(probes: Stubs) -> None:
    for name in ("nobody", "kind@7"):
        refusal = refused(probes.probes.ClassifyAudio, asking(speech(1), "kind", name))
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "PROBE_NOT_FOUND")
        assert refusal.path == "probes[1]"


@pytest.mark.parametrize("audio", [types_pb2.Audio(), types_pb2.Audio(encoded=b"no sound")])
def test_audio_that_is_none_is_refused(probes: Stubs, audio: types_pb2.Audio) -> None:
    asked = probe_pb2.ClassifyAudioRequest(audio=audio, probes=["kind"])
    assert refused(probes.probes.ClassifyAudio, asked).code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", ["ClassifyUpload", "StreamClassify", "TrainProbeOnVectors"])
def test_a_stream_without_a_config_is_refused(probes: Stubs, method: str) -> None:
    kind = getattr(probe_pb2, f"{method}Request")
    for messages in ([], [kind()]):
        refusal = refused(getattr(probes.probes, method), iter(messages))
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "STREAM_PROTOCOL")


def test_a_window_too_long_to_be_heard_live_is_refused(probes: Stubs) -> None:
    kind = probe_pb2.StreamClassifyRequest
    config = kind.Config(pcm=pcm_format(), probes=["kind"], timeline=timeline(30, 15))
    refusal = refused(probes.probes.StreamClassify, iter([kind(config=config)]))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "config.timeline.window")


def test_a_probe_is_swapped_while_it_is_asked(probes: Stubs) -> None:
    kind = probing.learned(probes, 4)
    put(probes, "swapped", kind)
    versions: list[int] = []
    failures: list[Exception] = []
    stop = time.monotonic() + 2.5

    def ask(seed: int) -> None:
        while time.monotonic() < stop:
            asked = asking(sound("hum", 1, seed), "swapped")
            try:
                (said,) = probes.probes.ClassifyAudio(asked, timeout=30).classifications
            except Exception as error:  # noqa: BLE001  # looked at below
                failures.append(error)
                return
            versions.append(said.version)
            if list(said.labels) != ["hum"]:
                failures.append(AssertionError(said))

    callers = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for caller in callers:
        caller.start()
    written = 1
    while time.monotonic() < stop - 0.5:
        written = put(probes, "swapped", kind).version
    (now,) = probes.probes.ClassifyAudio(
        asking(sound("hum", 1), "swapped"), timeout=30
    ).classifications
    assert now.version == written
    for caller in callers:
        caller.join()
    assert not failures
    assert len(set(versions)) > 3
