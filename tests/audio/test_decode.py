import hashlib
import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import Digest, Door, FileStream, PcmStream, decode, decode_pcm, digest
from embedsvc.errors import (
    AudioEmpty,
    AudioTooLong,
    AudioTooShort,
    AudioTruncated,
    AudioUndecodable,
    ChannelsRejected,
    PcmSize,
    SampleRateOutOfRange,
    SamplesNotFinite,
)
from embedsvc.types import Audio, ChannelPolicy, Floats, PcmFormat, SampleFormat, WarningCode

Encode = Callable[..., bytes]
Chirp = Callable[..., Floats]

CODECS: list[tuple[str, str | None]] = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
]
COMPRESSED: list[tuple[str, str | None]] = [
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
]
DOOR = Door()
STRICT = Door(strict=True)


def codes(audio: Audio) -> list[WarningCode]:
    return [warning.code for warning in audio.warnings]


def s16(samples: Floats) -> bytes:
    return np.round(samples * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(("container", "codec"), CODECS)
def test_every_container_gives_back_the_sound(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    sound = chirp(2)
    audio = decode(encode(sound, 16_000, container, codec), STRICT)
    assert audio.samples.dtype == np.float32
    assert abs(len(audio.samples) - len(sound)) <= 1200
    assert audio.warnings == ()
    common = min(len(audio.samples), len(sound))
    assert np.corrcoef(audio.samples[:common], sound[:common])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_file_its_stream_and_its_pcm_are_the_same_bit_for_bit(
    encode: Encode, chirp: Chirp, rate: int
) -> None:
    sound = np.stack([chirp(1.3, rate), chirp(1.3, rate, seed=1)], axis=1)
    data = s16(sound)
    values = np.frombuffer(data, "<i2").reshape(-1, 2)
    file = encode(values, rate)
    whole = decode(file, DOOR).samples
    blocks = np.concatenate(list(FileStream(io.BytesIO(file), DOOR)))
    raw = decode_pcm(data, PcmFormat(SampleFormat.S16, rate, 2), DOOR).samples
    assert whole.tobytes() == blocks.tobytes() == raw.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([4_000, 8_000, 15_999, 16_000, 22_050, 44_100, 48_000]),
    channels=st.integers(1, 9),
    layout=st.sampled_from(SampleFormat),
    seed=st.integers(0, 2**32 - 1),
)
def test_pcm_is_the_same_however_it_is_cut(
    rate: int, channels: int, layout: SampleFormat, seed: int
) -> None:
    random = np.random.default_rng(seed)
    sound = random.uniform(-1, 1, (rate // 4, channels)).astype(np.float32)
    data = s16(sound) if layout is SampleFormat.S16 else sound.tobytes()
    pcm = PcmFormat(layout, rate, channels)
    whole = decode_pcm(data, pcm, DOOR)
    stream, place = PcmStream(pcm, DOOR), 0
    pieces: list[Floats] = []
    while place < len(data):
        size = int(random.integers(1, 9_000))
        pieces.append(stream.push(data[place : place + size]))
        place += size
    pieces.append(stream.finish())
    assert np.concatenate(pieces).tobytes() == whole.samples.tobytes()
    assert stream.warnings == whole.warnings


def test_the_digest_is_that_of_the_samples_in_any_blocks(chirp: Chirp) -> None:
    sound = chirp()
    blocks = Digest()
    for first in range(0, len(sound), 777):
        blocks.update(sound[first : first + 777])
    assert digest(sound) == blocks.hex() == hashlib.sha256(sound.tobytes()).hexdigest()


def test_no_bytes_and_no_samples_are_empty(encode: Encode) -> None:
    with pytest.raises(AudioEmpty):
        decode(b"", DOOR)
    with pytest.raises(AudioEmpty):
        decode(encode(np.empty(0, np.float32), 16_000), DOOR)
    with pytest.raises(AudioEmpty):
        decode_pcm(b"", PcmFormat(SampleFormat.S16, 16_000), DOOR)


@pytest.mark.parametrize("data", [b"\0", b"RIFF", b"plain text" * 99, b"fLaC" * 50, b"OggS" * 50])
def test_other_bytes_are_undecodable_and_the_message_says_nothing_of_libraries(data: bytes) -> None:
    with pytest.raises(AudioUndecodable) as caught:
        decode(data, DOOR)
    assert caught.value.field == "audio"
    assert not {"sndfile", "object", "0x", "/"}.intersection(caught.value.message.lower().split())


def test_formats_that_nobody_asked_for_are_not_tried(encode: Encode, chirp: Chirp) -> None:
    with pytest.raises(AudioUndecodable, match="WAV, FLAC, Ogg or MP3"):
        decode(encode(chirp(), 16_000, "AIFF"), DOOR)


@pytest.mark.parametrize("rate", [3_999, 192_001, 0, 10**9])
def test_sample_rates_out_of_range_are_refused(rate: int) -> None:
    with pytest.raises(SampleRateOutOfRange, match=str(rate)):
        PcmStream(PcmFormat(SampleFormat.S16, rate), DOOR)


def test_channels_are_mixed_or_the_first_is_taken_or_they_are_refused(
    encode: Encode, chirp: Chirp
) -> None:
    left, right = chirp(), -0.5 * chirp()
    file = encode(np.stack([left, right], axis=1), 16_000, codec="FLOAT")
    mixed = decode(file, DOOR)
    np.testing.assert_allclose(mixed.samples, left / 4, atol=1e-7)
    first = decode(file, Door(ChannelPolicy.FIRST))
    np.testing.assert_array_equal(first.samples, left)
    assert codes(mixed) == codes(first) == [WarningCode.DOWNMIXED]
    with pytest.raises(ChannelsRejected):
        decode(file, Door(ChannelPolicy.REJECT))


@pytest.mark.parametrize("channels", [0, 33])
def test_too_many_or_no_channels_are_refused(channels: int) -> None:
    with pytest.raises(ChannelsRejected):
        PcmStream(PcmFormat(SampleFormat.S16, 16_000, channels), DOOR)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(
    encode: Encode, chirp: Chirp, value: float
) -> None:
    sound = chirp()
    sound[9_000] = value
    with pytest.raises(SamplesNotFinite):
        decode(encode(sound, 16_000, codec="FLOAT"), DOOR)


def test_values_too_large_for_the_resampler_are_refused() -> None:
    sound = np.full(8_000, np.finfo(np.float32).max) * np.sign(np.sin(np.arange(8_000)))
    with pytest.raises(SamplesNotFinite):
        decode_pcm(sound.astype("<f4").tobytes(), PcmFormat(SampleFormat.F32, 8_000), DOOR)


def test_less_than_one_frame_is_too_short_also_after_resampling(chirp: Chirp) -> None:
    sound = s16(chirp())
    pcm = PcmFormat(SampleFormat.S16, 16_000)
    assert len(decode_pcm(sound[: 2 * 560], pcm, DOOR).samples) == 560
    with pytest.raises(AudioTooShort, match=r"0\.035"):
        decode_pcm(sound[: 2 * 559], pcm, DOOR)
    with pytest.raises(AudioTooShort):
        decode_pcm(sound[: 2 * 1_000], PcmFormat(SampleFormat.S16, 48_000), DOOR)


@pytest.mark.parametrize(("container", "codec"), CODECS)
def test_more_than_the_limit_is_too_long(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = encode(chirp(2), 16_000, container, codec)
    with pytest.raises(AudioTooLong) as caught:
        decode(file, Door(max_seconds=1.5))
    assert caught.value.facts["limit_seconds"] == "1.5"


def test_pcm_is_too_long_before_it_is_decoded() -> None:
    with pytest.raises(AudioTooLong, match="2 s"):
        decode_pcm(bytes(64_000), PcmFormat(SampleFormat.S16, 16_000), Door(max_seconds=1))


def test_a_flac_bomb_without_a_length_stops_at_the_limit(encode: Encode) -> None:
    file = bytearray(encode(np.zeros(600 * 16_000, np.int16), 16_000, "FLAC"))
    assert len(file) < 60_000
    file[21] &= 0xF0
    file[22:26] = bytes(4)
    taken: list[int] = []
    with pytest.raises(AudioTooLong, match="longer"):
        taken.extend(map(len, FileStream(io.BytesIO(file), Door(max_seconds=60))))
    assert sum(taken) <= 60 * 16_000


def test_a_header_that_claims_hours_costs_nothing(encode: Encode, chirp: Chirp) -> None:
    flac = bytearray(encode(chirp(), 16_000, "FLAC"))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff" * 4
    with pytest.raises(AudioTooLong):
        decode(bytes(flac), DOOR)
    audio = decode(bytes(flac), Door(max_seconds=1e9))
    assert len(audio.samples) == 16_000
    assert codes(audio) == [WarningCode.TRUNCATED]
    wav = sized(encode(chirp(), 16_000), 0x7000_0000)
    assert codes(decode(wav, DOOR)) == [WarningCode.TRUNCATED]


def sized(wav: bytes, size: int) -> bytes:
    """`wav` with another size of its data chunk, and of the whole as written to a pipe."""
    place = wav.index(b"data") + 4
    whole = struct.pack("<I", min(size + 36, 0xFFFF_FFFF))
    return wav[:4] + whole + wav[8:place] + struct.pack("<I", size) + wav[place + 4 :]


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_wav_from_a_pipe_is_read_to_its_end_without_a_warning(
    encode: Encode, chirp: Chirp, size: int
) -> None:
    file = encode(chirp(), 16_000)
    audio = decode(sized(file, size), STRICT)
    np.testing.assert_array_equal(audio.samples, decode(file, STRICT).samples)


def test_an_empty_wav_with_a_trailing_chunk_stays_empty() -> None:
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVE" + head + b"data" + bytes(4) + b"LIST" + struct.pack("<I", 2_000) + bytes(2_000)
    with pytest.raises(AudioEmpty):
        decode(b"RIFF" + struct.pack("<I", len(body)) + body, DOOR)


@pytest.mark.parametrize(("container", "codec"), CODECS)
def test_a_truncated_file_is_a_warning_or_an_error_when_strict(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = encode(chirp(3), 16_000, container, codec)
    part = file[: len(file) * 2 // 3]
    audio = decode(part, DOOR)
    assert WarningCode.TRUNCATED in codes(audio)
    assert 0.5 < audio.seconds < 2.9
    with pytest.raises(AudioTruncated):
        decode(part, STRICT)


@pytest.mark.parametrize(("container", "codec"), COMPRESSED)
def test_what_comes_before_a_corrupt_place_is_kept(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = bytearray(encode(chirp(3), 16_000, container, codec))
    middle = len(file) // 2
    file[middle : middle + 60] = np.random.default_rng(0).bytes(60)
    audio = decode(bytes(file), DOOR)
    assert WarningCode.TRUNCATED in codes(audio)
    assert audio.seconds > 0.5
    with pytest.raises(AudioTruncated):
        decode(bytes(file), STRICT)


@pytest.mark.parametrize(("container", "codec"), CODECS)
def test_bytes_after_the_end_are_not_heard(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = encode(chirp(3), 16_000, container, codec)
    audio = decode(file + b"\0\1\2\3" * 500, DOOR)
    np.testing.assert_array_equal(audio.samples, decode(file, DOOR).samples)


@pytest.mark.parametrize(
    ("container", "codec"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
)
def test_a_chain_of_files_is_known_to_be_longer(
    encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = encode(chirp(1), 16_000, container, codec)
    audio = decode(file + file, DOOR)
    assert codes(audio) == [WarningCode.TRUNCATED]
    np.testing.assert_array_equal(audio.samples, decode(file, DOOR).samples)


def test_a_file_with_nothing_decodable_is_undecodable(encode: Encode, chirp: Chirp) -> None:
    flac = encode(chirp(), 16_000, "FLAC")
    with pytest.raises(AudioUndecodable):
        decode(flac[:100], DOOR)
    with pytest.raises(AudioUndecodable):
        decode(flac[:100] + b"\x55" * 9_000, DOOR)


def test_an_mp3_of_variable_rate_without_a_table_is_read_to_its_end(
    encode: Encode, chirp: Chirp
) -> None:
    sound = chirp(6)
    sound[16_000:] *= 1e-3
    file = encode(sound, 16_000, "MP3")
    first = file.index(file[:2], 4)
    audio = decode(file[first:], STRICT)
    assert abs(audio.seconds - 6) < 0.2
    tagged = b"ID3\3\0\0" + bytes([0, 0, 1, 0]) + bytes(128) + file[first:]
    assert len(decode(tagged, STRICT).samples) == len(audio.samples)


def test_the_warnings_have_their_numbers(encode: Encode, chirp: Chirp) -> None:
    sound = np.concatenate((chirp(0.2, 8_000), np.zeros(100, np.float32)))
    sound[200:220] = 1.0
    audio = decode(encode(np.stack([sound, sound], 1), 8_000), DOOR)
    text = {warning.code: warning.message for warning in audio.warnings}
    assert set(text) == set(WarningCode) - {WarningCode.TRUNCATED, WarningCode.MOSTLY_SILENCE}
    assert "8000" in text[WarningCode.RESAMPLED]
    assert "2 channels" in text[WarningCode.DOWNMIXED]
    assert "2 runs" in text[WarningCode.CLIPPING]
    assert "0.212" in text[WarningCode.VERY_SHORT]
    silent = decode(encode(np.zeros(16_000, np.float32), 16_000), DOOR)
    assert codes(silent) == [WarningCode.MOSTLY_SILENCE]


def test_pcm_that_ends_inside_a_sample_is_refused() -> None:
    pcm = PcmFormat(SampleFormat.F32, 16_000, 2)
    with pytest.raises(PcmSize) as caught:
        decode_pcm(bytes(8 * 1_000 + 3), pcm, DOOR)
    assert caught.value.facts == {"sample_bytes": "8", "left_over_bytes": "3"}
