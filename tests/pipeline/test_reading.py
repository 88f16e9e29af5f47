import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from embedsvc.audio import DecodePool, Door, digest, windows
from embedsvc.errors import (
    AudioEmpty,
    AudioTooLong,
    AudioTooShort,
    AudioUndecodable,
    PcmSize,
)
from embedsvc.pipeline.reading import PCM_CHUNK_BYTES, Reader, Upload, Utterance
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import (
    Audio,
    ChannelPolicy,
    Floats,
    PcmFormat,
    SampleFormat,
    Source,
    WarningCode,
    Window,
    Windowing,
)

SHORT = Windowing(length=SAMPLE_RATE, context=SAMPLE_RATE // 5)
PCM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    """One process that decodes."""
    with DecodePool(1) as pool:
        yield pool


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    """An empty file on disk."""
    with tempfile.TemporaryFile() as file:
        yield file


def noise(count: int) -> Floats:
    return np.random.default_rng(count).uniform(-0.5, 0.5, count).astype(np.float32)


def wav(samples: Floats, rate: int = SAMPLE_RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def filled(file: BinaryIO, data: bytes) -> BinaryIO:
    file.write(data)
    file.seek(0)
    return file


async def gathered(found: AsyncIterator[Window]) -> list[Window]:
    return [window async for window in found]


def assert_same(found: list[Window], expected: list[Window]) -> None:
    assert [(one.span, one.core) for one in found] == [(one.span, one.core) for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


async def test_an_utterance_knows_its_windows_and_its_digest() -> None:
    sound = noise(3 * SAMPLE_RATE)
    utterance = Utterance(Audio(sound), SHORT)
    assert utterance.samples == len(sound)
    assert await utterance.known_digest() == utterance.digest == digest(sound)
    assert_same(await gathered(utterance.windows()), windows(sound, SHORT))


@pytest.mark.parametrize("pcm", [None, PCM])
async def test_an_upload_is_the_utterance_it_holds(
    pool: DecodePool, file: BinaryIO, pcm: PcmFormat | None
) -> None:
    sound = noise(10 * SAMPLE_RATE)
    data = wav(sound) if pcm is None else sound.tobytes()
    assert pcm is None or len(data) > 2 * PCM_CHUNK_BYTES
    upload = Upload(filled(file, data), pcm, Door(), SHORT, pool)
    assert upload.digest == ""
    assert await upload.known_digest() == digest(sound)
    assert_same(await gathered(upload.windows()), windows(sound, SHORT))
    assert upload.digest == digest(sound)
    assert upload.warnings == ()


@pytest.mark.parametrize("pcm", [None, PcmFormat(SampleFormat.F32, 8_000)])
async def test_what_was_noticed_about_an_upload_is_known_after_either_pass(
    pool: DecodePool, file: BinaryIO, pcm: PcmFormat | None
) -> None:
    sound = noise(16_000)
    data = wav(sound, 8_000) if pcm is None else sound.tobytes()
    first = Upload(filled(file, data), pcm, Door(), SHORT, pool)
    await first.known_digest()
    assert [warning.code for warning in first.warnings] == [WarningCode.RESAMPLED]
    second = Upload(file, pcm, Door(), SHORT, pool)
    await gathered(second.windows())
    assert second.warnings == first.warnings


async def test_the_first_window_comes_before_the_end_is_read(
    pool: DecodePool, file: BinaryIO
) -> None:
    upload = Upload(filled(file, noise(60 * SAMPLE_RATE).tobytes()), PCM, Door(), SHORT, pool)
    found = upload.windows()
    await anext(found)
    assert file.tell() <= PCM_CHUNK_BYTES
    await found.aclose()
    assert upload.digest == ""


async def test_an_upload_that_is_left_gives_its_process_back(
    pool: DecodePool, file: BinaryIO
) -> None:
    upload = Upload(filled(file, wav(noise(60 * SAMPLE_RATE))), None, Door(), SHORT, pool)
    found = upload.windows()
    await anext(found)
    await found.aclose()
    reader = Reader(pool, 10, 1)
    data = wav(noise(SAMPLE_RATE))
    utterance = await asyncio.wait_for(reader.read(Source(data), SHORT), 60)
    assert utterance.samples == SAMPLE_RATE


@pytest.mark.parametrize("pcm", [None, PCM])
async def test_an_upload_longer_than_allowed_is_refused(
    pool: DecodePool, file: BinaryIO, pcm: PcmFormat | None
) -> None:
    sound = noise(3 * SAMPLE_RATE)
    data = wav(sound) if pcm is None else sound.tobytes()
    upload = Upload(filled(file, data), pcm, Door(max_seconds=2), SHORT, pool)
    with pytest.raises(AudioTooLong):
        await gathered(upload.windows())


@pytest.mark.parametrize(
    ("data", "pcm", "kind"),
    [
        (b"", PCM, AudioEmpty),
        (bytes(6), PCM, PcmSize),
        (bytes(400), PCM, AudioTooShort),
        (b"", None, AudioEmpty),
        (b"no sound at all", None, AudioUndecodable),
    ],
)
async def test_an_upload_that_is_no_speech_is_refused_in_either_pass(
    pool: DecodePool, file: BinaryIO, data: bytes, pcm: PcmFormat | None, kind: type[Exception]
) -> None:
    filled(file, data)
    with pytest.raises(kind):
        await Upload(file, pcm, Door(), SHORT, pool).known_digest()
    file.seek(0)
    with pytest.raises(kind):
        await gathered(Upload(file, pcm, Door(), SHORT, pool).windows())


async def test_a_short_utterance_is_read_the_same_in_every_form(pool: DecodePool) -> None:
    sound, reader = noise(2 * SAMPLE_RATE), Reader(pool, 10, 1)
    for source in (Source(wav(sound)), Source(sound.tobytes(), PCM)):
        utterance = await reader.read(source, SHORT)
        assert utterance.digest == digest(sound)
        assert utterance.warnings == ()
        assert_same(await gathered(utterance.windows()), windows(sound, SHORT))


@pytest.mark.parametrize("policy", [ChannelPolicy.MIX, ChannelPolicy.FIRST])
async def test_channels_are_treated_as_the_caller_says(
    pool: DecodePool, policy: ChannelPolicy
) -> None:
    both = np.stack([noise(SAMPLE_RATE), np.zeros(SAMPLE_RATE, np.float32)], axis=1)
    utterance = await Reader(pool, 10, 1).read(Source(wav(both), None, policy), SHORT)
    share = np.float32(0.5 if policy is ChannelPolicy.MIX else 1)
    assert utterance.digest == digest(noise(SAMPLE_RATE) * share)


async def test_an_utterance_longer_than_allowed_is_refused(pool: DecodePool) -> None:
    sound, reader = noise(2 * SAMPLE_RATE), Reader(pool, 1, 1)
    for source in (Source(wav(sound)), Source(sound.tobytes(), PCM)):
        with pytest.raises(AudioTooLong):
            await reader.read(source, SHORT)


async def test_more_utterances_than_processes_are_read_one_after_another(pool: DecodePool) -> None:
    reader = Reader(pool, 10, 1)
    sounds = [noise(SAMPLE_RATE + place) for place in range(5)]
    found = await asyncio.gather(*(reader.read(Source(wav(one)), SHORT) for one in sounds))
    assert [one.digest for one in found] == [digest(one) for one in sounds]
