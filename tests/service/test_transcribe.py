"""What is written of speech over gRPC: short, long, silent, broken, and beside everything else."""

import json
import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from embedsvc.encoder import resolve
from embedsvc.samples import Clip, clips
from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import transcription_pb2, types_pb2
from tests.service.calls import (
    RATE,
    Stubs,
    file_of,
    floats,
    pcm,
    pcm_format,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)
from tests.service.processes import Server
from tests.service.test_memory import MEBIBYTE

PAUSE = np.zeros(RATE, np.float32)
ENGLISH = [clip for clip in clips("archive") if clip.language == "eng"][:4]

Request = transcription_pb2.TranscribeRequest
Options = transcription_pb2.DecodeOptions


def samples(clip: Clip) -> Floats:
    """What is heard of a clip."""
    heard: Floats = soundfile.read(clip.path, dtype="float32")[0]
    return heard


@pytest.fixture(scope="module")
def talk() -> Floats:
    """Four sentences, a second of silence after each."""
    return np.concatenate([part for clip in ENGLISH for part in (samples(clip), PAUSE)])


def asking(heard: Floats, **fields: Any) -> transcription_pb2.TranscribeRequest:
    return Request(audio=floats(heard, id="talk"), **fields)


def seconds(span: types_pb2.TimeSpan) -> tuple[float, float]:
    return span.start.ToNanoseconds() / 1e9, span.end.ToNanoseconds() / 1e9


def uploaded(
    stubs: Stubs, data: bytes, chunk: int = 100_000, **fields: Any
) -> tuple[list[Any], Any]:
    """The segments of an upload, and its end."""
    kind = transcription_pb2.TranscribeUploadRequest

    def messages() -> Iterator[Any]:
        yield kind(config=kind.Config(**fields))
        for place in range(0, len(data), chunk):
            yield kind(audio=data[place : place + chunk])

    *segments, last = stubs.transcription.TranscribeUpload(messages(), timeout=600)
    return [each.segment for each in segments], last.end


def test_heads_are_listed(stubs: Stubs) -> None:
    heads = stubs.transcription.ListHeads(transcription_pb2.ListHeadsRequest()).heads
    *texts, head = heads
    for text in texts:
        assert (text.kind, len(text.languages)) == (transcription_pb2.HEAD_KIND_TEXT, 1)
        assert text.name == f"letters-{text.languages[0]}"
        assert 0 < text.figures["character_error_rate_validation"] < 1
    assert (head.name, head.kind) == ("phones", transcription_pb2.HEAD_KIND_PHONES)
    assert head.labels > 100
    assert head.frame.ToNanoseconds() == 20_000_000
    assert not head.languages
    assert head.calibration


def test_phones_come_with_times_and_confidence(stubs: Stubs, talk: Floats) -> None:
    reply = stubs.transcription.Transcribe(asking(talk, options=Options(alternatives=2)))
    assert (reply.id, reply.head) == ("talk", "phones")
    assert reply.usage.audio_seconds == len(talk) / RATE
    assert reply.timing.total.ToNanoseconds() > reply.timing.compute.ToNanoseconds() > 0
    assert "b ɐ n æ n ə z w" in " ".join(segment.text for segment in reply.segments)
    edges = [seconds(each.span) for each in reply.segments]
    assert all(one[1] <= other[0] for one, other in pairwise(edges))
    for segment in reply.segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert segment.confidence_method
        start, end = seconds(segment.span)
        assert seconds(segment.words[0].span)[0] == start
        assert seconds(segment.words[-1].span)[1] == end
        for word in segment.words:
            (token,) = word.tokens
            assert 0 <= token.confidence <= 1
            assert token.log_prob <= 0 <= token.entropy <= 1
            assert len(token.alternatives) == 2


def test_each_sentence_is_where_it_was_said(stubs: Stubs, talk: Floats) -> None:
    reply = stubs.transcription.Transcribe(asking(talk))
    at = 0.0
    for clip in ENGLISH:
        end = at + len(samples(clip)) / RATE
        inside = [
            seconds(each.span) for each in reply.segments if seconds(each.span)[0] >= at - 0.05
        ]
        assert inside[0][0] == pytest.approx(at, abs=0.4)
        assert max(last for _, last in inside if last < end + 0.5) == pytest.approx(end, abs=0.4)
        at = end + 1


def test_an_upload_says_the_same_whatever_its_chunks(stubs: Stubs, talk: Floats) -> None:
    long = np.concatenate([talk, talk[::-1], talk, talk])
    assert len(long) > 50 * RATE
    whole = stubs.transcription.Transcribe(asking(long), timeout=60)
    raw = types_pb2.PcmFormat(format=types_pb2.SAMPLE_FORMAT_F32LE, sample_rate_hz=RATE, channels=1)
    for chunk in (9_999, 1_000_000):
        segments, end = uploaded(stubs, np.asarray(long, "<f4").tobytes(), chunk, pcm=raw)
        assert [each.text for each in segments] == [each.text for each in whole.segments]
        assert [each.span for each in segments] == [each.span for each in whole.segments]
        assert end.usage == whole.usage
        assert end.head == "phones"


def test_probes_hear_the_same_pass(stubs: Stubs, talk: Floats) -> None:
    reply = stubs.transcription.Transcribe(asking(talk, probes=["language"]))
    assert list(reply.classifications[0].labels) == ["eng"]
    assert reply.segments
    alone = stubs.transcription.Transcribe(asking(talk))
    assert [each.text for each in reply.segments] == [each.text for each in alone.segments]
    _, end = uploaded(stubs, file_of(talk), probes=["language"])
    assert list(end.classifications[0].labels) == ["eng"]


def test_segments_can_come_without_words(stubs: Stubs, talk: Floats) -> None:
    asked = Options(omit_words=True, low_confidence=1.0)
    full = stubs.transcription.Transcribe(asking(talk, options=Options(low_confidence=1.0)))
    bare = stubs.transcription.Transcribe(asking(talk, options=asked))
    assert bare.ByteSize() < full.ByteSize() / 5
    for one, other in zip(bare.segments, full.segments, strict=True):
        assert (one.text, one.span, one.confidence) == (other.text, other.span, other.confidence)
        assert not one.words
        assert one.low_confidence == other.low_confidence
        assert list(other.low_confidence) == [other.span], "no confidence is above all"


@pytest.mark.parametrize("level", [0.0, 1e-5], ids=["digital silence", "a whisper of noise"])
def test_silence_has_no_text(stubs: Stubs, level: float) -> None:
    noise = np.random.default_rng(0).standard_normal(30 * RATE).astype(np.float32) * level
    reply = stubs.transcription.Transcribe(asking(noise))
    assert not reply.segments
    assert [each.code for each in reply.warnings] == [types_pb2.WARNING_CODE_MOSTLY_SILENCE]
    assert reply.usage.audio_seconds == 30


REFUSED: dict[str, tuple[Any, str, str, str]] = {
    "a head that is none": (
        Request(audio=pcm(speech()), head="latin"), "NOT_FOUND", "HEAD_NOT_FOUND", "head"
    ),
    "a language that is none": (
        Request(audio=pcm(speech()), language_code="!"),
        "INVALID_ARGUMENT", "FIELD_INVALID", "language_code",
    ),
    "an endless beam": (
        Request(audio=pcm(speech()), options=Options(beam=65)),
        "INVALID_ARGUMENT", "FIELD_INVALID", "options.beam",
    ),
    "more texts than the beam": (
        Request(audio=pcm(speech()), options=Options(beam=2, texts=3)),
        "INVALID_ARGUMENT", "FIELD_INVALID", "options.texts",
    ),
    "hot words without a beam": (
        Request(
            audio=pcm(speech()),
            options=Options(hot_words=[transcription_pb2.HotWord(text="a")]),
        ),
        "INVALID_ARGUMENT", "FIELD_INVALID", "options.hot_words",
    ),
    "a hot word of nothing": (
        Request(
            audio=pcm(speech()),
            options=Options(beam=4, hot_words=[transcription_pb2.HotWord(text=" ")]),
        ),
        "INVALID_ARGUMENT", "FIELD_INVALID", "options.hot_words[0].text",
    ),
    "a doubt that is no number": (
        Request(audio=pcm(speech()), options=Options(low_confidence=float("nan"))),
        "INVALID_ARGUMENT", "FIELD_INVALID", "options.low_confidence",
    ),
    "a probe that is none": (
        Request(audio=pcm(speech()), probes=["nobody"]),
        "NOT_FOUND", "PROBE_NOT_FOUND", "probes[0]",
    ),
    "no audio": (Request(), "INVALID_ARGUMENT", "AUDIO_EMPTY", "audio"),
    "noise instead of a file": (
        Request(audio=types_pb2.Audio(encoded=b"no sound in here" * 64)),
        "INVALID_ARGUMENT", "AUDIO_UNDECODABLE", "audio",
    ),
    "less than a frame": (
        Request(audio=pcm(speech(0.02))), "INVALID_ARGUMENT", "AUDIO_TOO_SHORT", "audio"
    ),
}  # fmt: skip


@pytest.mark.usefixtures("still_answers")
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_written_is_refused_by_name(stubs: Stubs, what: str) -> None:
    asked, code, reason, path = REFUSED[what]
    refusal = refused(stubs.transcription.Transcribe, asked)
    assert (refusal.code, refusal.reason) == (code, reason)
    assert refusal.path in {path, ""}


def test_the_fields_of_an_upload_are_named_as_they_are_sent(stubs: Stubs) -> None:
    kind = transcription_pb2.TranscribeUploadRequest
    for field, config in (
        ("config.head", kind.Config(head="latin")),
        ("config.options.beam", kind.Config(options=Options(beam=65))),
        ("config.probes[0]", kind.Config(probes=["nobody"])),
    ):
        messages = upload(kind, config, b"RIFF")
        assert refused(stubs.transcription.TranscribeUpload, messages).path == field
    empty = upload(kind, kind.Config(), b"")
    assert refused(stubs.transcription.TranscribeUpload, empty).reason == "AUDIO_EMPTY"


def test_too_much_for_one_message_is_sent_elsewhere(stubs: Stubs) -> None:
    tiny = file_of(np.zeros(RATE // 4 * 700, np.float32), "FLAC", "PCM_16", rate=RATE // 4)
    refusal = refused(stubs.transcription.Transcribe, Request(audio=types_pb2.Audio(encoded=tiny)))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "AUDIO_TOO_LONG")


def test_writing_and_embedding_at_once_are_as_each_alone(stubs: Stubs, talk: Floats) -> None:
    alone = vector(stubs.embedding.Embed(request(floats(talk)), timeout=60).embedding)
    text = [each.text for each in stubs.transcription.Transcribe(asking(talk)).segments]
    wrong: list[str] = []

    def write() -> None:
        for _ in range(4):
            reply = stubs.transcription.Transcribe(asking(talk), timeout=60)
            if [each.text for each in reply.segments] != text:
                wrong.append("text")

    def embed() -> None:
        for _ in range(4):
            both = stubs.embedding.Embed(request(floats(talk)), timeout=60).embedding
            if not np.allclose(vector(both), alone, atol=2e-5):
                wrong.append("vector")

    threads = [threading.Thread(target=what) for what in (write, embed) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_a_caller_that_leaves_takes_its_work_along(stubs: Stubs, talk: Floats) -> None:
    kind = transcription_pb2.TranscribeUploadRequest
    data = s16(np.tile(talk, 12))
    call = stubs.transcription.TranscribeUpload(
        upload(kind, kind.Config(pcm=pcm_format()), data), timeout=60
    )
    assert next(call).segment.text
    call.cancel()
    assert stubs.transcription.Transcribe(asking(talk), timeout=30).segments


@pytest.mark.parametrize(
    "minutes", [6, pytest.param(30, marks=pytest.mark.slow)], ids=["6 min", "30 min"]
)
def test_long_recordings_need_no_more_memory_than_short_ones(
    process: Server, talk: Floats, minutes: int
) -> None:
    with Stubs(process.address()) as stubs:
        uploaded(stubs, s16(np.tile(talk, 6)), pcm=pcm_format())
        before = process.resident_bytes(peak=True)
        times = minutes * 60 * RATE // len(talk)
        segments, end = uploaded(stubs, s16(np.tile(talk, times)), pcm=pcm_format())
        grown = process.resident_bytes(peak=True) - before
    assert end.usage.audio_seconds == times * len(talk) / RATE
    assert len(segments) >= 3 * times
    assert max(seconds(each.span)[1] - seconds(each.span)[0] for each in segments) <= 20
    print(f"{minutes} min written: {grown / MEBIBYTE:.1f} MiB more")  # noqa: T201  # a measurement
    assert grown < 40 * MEBIBYTE


def test_a_calibration_of_other_weights_is_logged_and_not_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "model"
    shutil.copytree(resolve("mini").directory, model)
    path = model / "calibration.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(known | {"phones": known["phones"] | {"digest": "0" * 64}}))
    with serving({"model": {"name": str(model)}}) as target, Stubs(target) as stubs:
        heads = stubs.transcription.ListHeads(transcription_pb2.ListHeadsRequest()).heads
        reply = stubs.transcription.Transcribe(
            transcription_pb2.TranscribeRequest(audio=types_pb2.Audio(encoded=clips()[0].data()))
        )
    methods = {head.name: head.calibration for head in heads}
    assert methods["phones"] == "probability/v1" != methods["letters-spa"]
    assert {each.confidence_method for each in reply.segments} == {"probability/v1"}
    (record,) = (each for each in caplog.records if each.message == "calibration left out")
    assert record.levelname == "WARNING"
    assert record.__dict__["fields"] == {
        "head": "phones",
        "reason": "calibration.json was fitted for other weights or labels",
    }
