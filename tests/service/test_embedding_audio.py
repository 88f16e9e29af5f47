"""Audio that is refused, or accepted with a warning, case by case."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from embedsvc.v1 import embedding_pb2, types_pb2
from tests.service.calls import (
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
)

pytestmark = pytest.mark.usefixtures("still_answers")


def spoiled(number: float) -> types_pb2.Audio:
    samples = speech().copy()
    samples[5_000] = number
    return floats(samples)


def of_format(data: bytes, *, rate: int = 16_000, channels: int = 1) -> types_pb2.Audio:
    return types_pb2.Audio(pcm=types_pb2.PcmAudio(format=pcm_format(rate, channels), samples=data))


def cut(samples: int) -> types_pb2.Audio:
    return pcm(speech()[:samples])


def encoded(data: bytes, *, strict: bool = False) -> types_pb2.Audio:
    return types_pb2.Audio(encoded=data, strict=strict)


CASES: dict[str, tuple[Callable[[], types_pb2.Audio], str, str, dict[str, str]]] = {
    "no source": (types_pb2.Audio, "AUDIO_EMPTY", "audio", {}),
    "no bytes": (partial(encoded, b""), "AUDIO_EMPTY", "audio", {}),
    "no samples": (lambda: of_format(b""), "AUDIO_EMPTY", "audio", {}),
    "a file without sound": (
        lambda: encoded(file_of(speech(0))),
        "AUDIO_EMPTY",
        "audio",
        {},
    ),
    "text": (partial(encoded, b"To be or not to be. " * 99), "AUDIO_UNDECODABLE", "audio", {}),
    "a FLAC file of zeros": (
        partial(encoded, b"fLaC" + bytes(5_000)),
        "AUDIO_UNDECODABLE",
        "audio",
        {"container": "FLAC"},
    ),
    "NaN": (partial(spoiled, np.nan), "SAMPLES_NOT_FINITE", "audio", {}),
    "infinity": (partial(spoiled, -np.inf), "SAMPLES_NOT_FINITE", "audio", {}),
    "an odd number of bytes": (
        lambda: of_format(s16(speech()) + b"\0"),
        "PCM_SIZE",
        "audio",
        {"sample_bytes": "2", "left_over_bytes": "1"},
    ),
    "half a frame of two channels": (
        lambda: of_format(s16(speech())[:-2], channels=2),
        "PCM_SIZE",
        "audio",
        {"sample_bytes": "4", "left_over_bytes": "2"},
    ),
    "33 channels": (
        lambda: of_format(bytes(66 * 16_000), channels=33),
        "CHANNELS_REJECTED",
        "audio",
        {"maximum_channels": "32", "channels": "33"},
    ),
    "two channels under REJECT": (
        lambda: encoded_stereo(types_pb2.CHANNEL_POLICY_REJECT),
        "CHANNELS_REJECTED",
        "audio",
        {"maximum_channels": "1", "channels": "2"},
    ),
    "a truncated file when strict": (
        lambda: encoded(file_of(speech())[:-9_000], strict=True),
        "AUDIO_TRUNCATED",
        "audio",
        {},
    ),
    "more than the limit": (
        lambda: of_format(bytes(2 * 4_000 * 601), rate=4_000),
        "AUDIO_TOO_LONG",
        "audio",
        {"limit_seconds": "600.0", "seconds": "601.0"},
    ),
}
for hertz in (0, 16, 3_999, 192_001, 2**32 - 1):
    CASES[f"{hertz} Hz"] = (
        partial(of_format, bytes(32_000), rate=hertz),
        "SAMPLE_RATE_OUT_OF_RANGE",
        "audio",
        {"minimum_hz": "4000", "maximum_hz": "192000", "sample_rate_hz": str(hertz)},
    )
# One mel frame, from 400 to 559 samples, is half an encoder frame.
for count in (1, 399, 400, 559):
    CASES[f"{count} samples"] = (
        partial(cut, count),
        "AUDIO_TOO_SHORT",
        "audio",
        {"minimum_seconds": "0.035", "seconds": str(count / 16_000)},
    )


def encoded_stereo(policy: int) -> types_pb2.Audio:
    both = np.stack([speech(seed=1), speech(seed=2)], axis=1)
    return types_pb2.Audio(encoded=file_of(both), channel_policy=policy)  # type: ignore[arg-type]  # unknown ones too


@pytest.mark.parametrize("case", CASES)
def test_bad_audio_is_refused_with_its_reason_field_and_facts(stubs: Stubs, case: str) -> None:
    make, reason, path, facts = CASES[case]
    refusal = refused(stubs.embedding.Embed, request(make()))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)
    assert refusal.domain == "embedsvc.v1"
    assert refusal.path == path
    assert facts.items() <= refusal.facts.items()
    assert "`audio" in refusal.message
    assert refusal.retry_seconds is None


@pytest.mark.parametrize("case", sorted(CASES.keys() - {"no source", "more than the limit"}))
def test_an_upload_refuses_what_a_single_message_refuses(stubs: Stubs, case: str) -> None:
    make, reason, _, _ = CASES[case]
    audio = make()
    config = embedding_pb2.EmbedUploadRequest.Config(
        channel_policy=audio.channel_policy,
        strict=audio.strict,
        pcm=audio.pcm.format if audio.HasField("pcm") else None,
    )
    data = audio.encoded or audio.pcm.samples
    messages = upload(embedding_pb2.EmbedUploadRequest, config, data, 5_000)
    refusal = refused(stubs.embedding.EmbedUpload, messages)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)


def test_the_shortest_utterance_is_one_frame(stubs: Stubs) -> None:
    frames = embedding_pb2.OutputSpec(pooling=types_pb2.POOLING_NONE)
    answer = stubs.embedding.Embed(request(pcm(speech()[:560]), frames)).embedding
    assert answer.outputs[0].tensor.shape[0] == 1
    assert answer.usage.frames == 1
    assert [warning.code for warning in answer.warnings] == [types_pb2.WARNING_CODE_VERY_SHORT]


def test_audio_over_the_limit_is_sent_to_the_upload(stubs: Stubs) -> None:
    refusal = refused(stubs.embedding.Embed, request(CASES["more than the limit"][0]()))
    assert "EmbedUpload" in refusal.help


def test_a_truncated_file_is_embedded_with_a_warning(stubs: Stubs) -> None:
    answer = stubs.embedding.Embed(request(encoded(file_of(speech())[:-9_000]))).embedding
    assert types_pb2.WARNING_CODE_TRUNCATED in {warning.code for warning in answer.warnings}
    assert answer.usage.audio_seconds == pytest.approx(1 - 4_500 / 16_000)


def test_a_header_that_claims_hours_costs_nothing(stubs: Stubs) -> None:
    whole = bytearray(file_of(speech()))
    place = whole.index(b"data")
    whole[place + 4 : place + 8] = (2_000_000_000).to_bytes(4, "little")
    started = time.monotonic()
    answer = stubs.embedding.Embed(request(encoded(bytes(whole)))).embedding
    assert time.monotonic() - started < 5
    assert answer.usage.audio_seconds == 1.0
    assert types_pb2.WARNING_CODE_TRUNCATED in {warning.code for warning in answer.warnings}


@pytest.mark.parametrize("kind", ["FLAC", "FLAC without its length"])
def test_hours_of_silence_in_a_small_file_are_refused_at_once(stubs: Stubs, kind: str) -> None:
    data = bomb(kind)
    assert len(data) < 500_000
    started = time.monotonic()
    refusal = refused(stubs.embedding.Embed, request(encoded(data)))
    assert time.monotonic() - started < 5
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "AUDIO_TOO_LONG")
    assert refusal.facts["limit_seconds"] == "600.0"


def bomb(kind: str) -> bytes:
    """Two hours of silence."""
    flac = bytearray(file_of(np.zeros(8_000 * 7_200, np.int16), "FLAC", None, 8_000))
    if kind != "FLAC":
        # 36 bits for the number of samples, where 0 means unknown (RFC 9639, section 8.2).
        flac[21] &= 0xF0
        flac[22:26] = bytes(4)
    return bytes(flac)


def test_odd_but_usable_audio_comes_with_warnings(stubs: Stubs) -> None:
    loud = np.clip(9 * speech(rate=48_000), -1, 1)
    both = np.stack([loud, loud], axis=1)
    audio = types_pb2.Audio(encoded=file_of(both, rate=48_000))
    answer = stubs.embedding.Embed(request(audio)).embedding
    assert {warning.code for warning in answer.warnings} == {
        types_pb2.WARNING_CODE_RESAMPLED,
        types_pb2.WARNING_CODE_DOWNMIXED,
        types_pb2.WARNING_CODE_CLIPPING,
    }
    assert all(warning.message for warning in answer.warnings)


def test_silence_is_embedded_with_a_warning(stubs: Stubs) -> None:
    answer = stubs.embedding.Embed(request(of_format(bytes(32_000)))).embedding
    assert [w.code for w in answer.warnings] == [types_pb2.WARNING_CODE_MOSTLY_SILENCE]
