"""What the vectors of the EmbeddingService mean, whatever way the audio came."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.timing import frame_count
from embedsvc.types import Floats
from embedsvc.v1 import embedding_pb2, server_pb2, types_pb2
from tests.service.calls import (
    BOUND,
    Stubs,
    arrays,
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

Spec = embedding_pb2.OutputSpec
FRAMES = Spec(pooling=types_pb2.POOLING_NONE, dtype=types_pb2.DTYPE_FLOAT32)
LONG = 31.31


@pytest.fixture(scope="module")
def long() -> Floats:
    """Speech of two windows."""
    return np.concatenate([speech(LONG / 3, seed) for seed in range(3)])


def uploaded(
    stubs: Stubs, data: bytes, *outputs: Spec, chunk: int = 65_536, form: bool = False
) -> embedding_pb2.Embedding:
    config = embedding_pb2.EmbedUploadRequest.Config(
        options=options(*outputs), pcm=pcm_format() if form else None
    )
    messages = upload(embedding_pb2.EmbedUploadRequest, config, data, chunk)
    return stubs.embedding.EmbedUpload(messages, timeout=120).embedding


@settings(max_examples=12, deadline=None)
@given(samples=st.integers(560, 48_000))
def test_there_is_one_frame_for_each_20_ms_of_any_utterance(
    stubs: Stubs, model: server_pb2.ModelInfo, samples: int
) -> None:
    audio = pcm(speech(3)[:samples])
    answer = stubs.embedding.Embed(request(audio, FRAMES, Spec())).embedding
    frames, pooled = answer.outputs
    assert list(frames.tensor.shape) == [frame_count(samples), model.dim]
    assert answer.usage.frames == frame_count(samples)
    assert (frames.frame_rate_hz, pooled.frame_rate_hz) == (50.0, 0.0)
    assert frames.span.start.ToNanoseconds() == 0
    assert frames.span.end.ToNanoseconds() == samples * 62_500
    assert answer.usage.audio_seconds == samples / 16_000


def test_frames_of_long_audio_are_all_there(stubs: Stubs, long: Floats) -> None:
    answer = stubs.embedding.Embed(request(pcm(long), FRAMES)).embedding
    assert answer.outputs[0].tensor.shape[0] == frame_count(len(long))


def test_outputs_of_one_pass_are_those_of_separate_calls(stubs: Stubs, long: Floats) -> None:
    specs = [
        Spec(name="a", layer=0, pooling=types_pb2.POOLING_MEAN, projection=""),
        Spec(name="b", layer=2, pooling=types_pb2.POOLING_MAX, projection="", normalize=False),
        Spec(name="c", layer=-1, pooling=types_pb2.POOLING_MEAN_STD),
        Spec(name="d", layer=1, pooling=types_pb2.POOLING_NONE, dtype=types_pb2.DTYPE_FLOAT32),
        Spec(name="e"),
    ]
    together = stubs.embedding.Embed(request(pcm(long), *specs)).embedding
    assert [output.name for output in together.outputs] == ["a", "b", "c", "d", "e"]
    for spec, output, array in zip(specs, together.outputs, arrays(together), strict=True):
        alone = stubs.embedding.Embed(request(pcm(long), spec)).embedding
        np.testing.assert_allclose(array, vector(alone), atol=BOUND)
        assert output.space == alone.outputs[0].space


def test_pooled_outputs_are_the_pools_of_their_own_frames(stubs: Stubs, long: Floats) -> None:
    def pooled(pooling: int) -> Spec:
        return Spec(layer=3, pooling=pooling, projection="", normalize=False)  # type: ignore[arg-type]  # a number of the enum

    specs = [pooled(types_pb2.POOLING_MEAN), pooled(types_pb2.POOLING_MEAN_STD)]
    specs += [pooled(types_pb2.POOLING_MAX), Spec(layer=3)]
    specs[3].pooling, specs[3].dtype = types_pb2.POOLING_NONE, types_pb2.DTYPE_FLOAT32
    mean, both, peak, frames = arrays(stubs.embedding.Embed(request(pcm(long), *specs)).embedding)
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(both, np.r_[frames.mean(axis=0), frames.std(axis=0)], atol=1e-5)
    np.testing.assert_allclose(peak, frames.max(axis=0), atol=1e-6)


def test_vectors_have_length_one_unless_asked_otherwise(stubs: Stubs) -> None:
    specs = [Spec(projection=""), Spec(projection="", normalize=False)]
    unit, plain = arrays(stubs.embedding.Embed(request(None, *specs)).embedding)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(plain / np.linalg.norm(plain), unit, atol=1e-6)


def test_numbers_come_as_asked(stubs: Stubs, usual: Floats) -> None:
    specs = [
        Spec(),
        Spec(dtype=types_pb2.DTYPE_FLOAT16),
        Spec(encoding=embedding_pb2.TENSOR_ENCODING_FLOATS),
        Spec(pooling=types_pb2.POOLING_NONE),
    ]
    answer = stubs.embedding.Embed(request(None, *specs)).embedding
    full, half, plain, frames = (output.tensor for output in answer.outputs)
    assert (full.dtype, len(full.data)) == (types_pb2.DTYPE_FLOAT32, 4 * len(usual))
    assert (half.dtype, len(half.data)) == (types_pb2.DTYPE_FLOAT16, 2 * len(usual))
    assert (len(plain.data), len(plain.floats)) == (0, len(usual))
    assert frames.dtype == types_pb2.DTYPE_FLOAT16
    expected = np.frombuffer(full.data, "<f4")
    np.testing.assert_array_equal(np.array(plain.floats, np.float32), expected)
    np.testing.assert_array_equal(np.frombuffer(half.data, "<f2"), expected.astype(np.float16))


def test_the_same_request_gets_the_same_answer(stubs: Stubs, long: Floats) -> None:
    first, second = (stubs.embedding.Embed(request(pcm(long))).embedding for _ in range(2))
    assert first.digest == second.digest
    np.testing.assert_allclose(vector(first), vector(second), atol=BOUND)


CONTAINERS = {
    "WAV": ("WAV", "PCM_16"),
    "WAVEX": ("WAVEX", "PCM_16"),
    "RF64": ("RF64", "PCM_16"),
    "WAV of 24 bits": ("WAV", "PCM_24"),
    "WAV of floats": ("WAV", "FLOAT"),
    "FLAC": ("FLAC", "PCM_16"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_equal_samples_give_equal_digests_and_vectors_in_any_container(
    stubs: Stubs, kind: str
) -> None:
    samples = (np.frombuffer(s16(speech()), "<i2") / 32_768).astype(np.float32)
    plain = stubs.embedding.Embed(request()).embedding
    container, codec = CONTAINERS[kind]
    audio = types_pb2.Audio(encoded=file_of(samples, container, codec))
    answer = stubs.embedding.Embed(request(audio)).embedding
    assert answer.digest == plain.digest
    np.testing.assert_allclose(vector(answer), vector(plain), atol=BOUND)
    assert uploaded(stubs, audio.encoded).digest == plain.digest


@pytest.mark.parametrize(
    ("container", "codec"), [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)]
)
def test_lossy_files_come_close(stubs: Stubs, container: str, codec: str | None) -> None:
    plain = vector(stubs.embedding.Embed(request(pcm(speech(3)))).embedding)
    data = file_of(speech(3), container, codec)
    one = stubs.embedding.Embed(request(types_pb2.Audio(encoded=data))).embedding
    assert vector(one) @ plain > 0.9
    assert uploaded(stubs, data).digest == one.digest


@settings(max_examples=4, deadline=None)
@given(chunk=st.sampled_from([101, 4_096, 70_001, 10_000_000]), raw=st.booleans())
def test_an_upload_in_any_chunks_is_the_same_as_one_message(
    stubs: Stubs, long: Floats, chunk: int, raw: bool
) -> None:
    short = long[: 16_000 * 22] if chunk > 101 else long[:40_000]
    whole = stubs.embedding.Embed(request(pcm(short), FRAMES, Spec())).embedding
    data = s16(short) if raw else file_of(np.frombuffer(s16(short), "<i2"), "WAV", "PCM_16")
    sent = uploaded(stubs, data, FRAMES, Spec(), chunk=chunk, form=raw)
    assert sent.digest == whole.digest
    assert sent.usage == whole.usage
    for ours, theirs in zip(arrays(sent), arrays(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=BOUND)


def test_an_upload_echoes_its_id_and_its_warnings(stubs: Stubs) -> None:
    config = embedding_pb2.EmbedUploadRequest.Config(id="my talk")
    data = file_of(speech(rate=8_000), rate=8_000)
    messages = upload(embedding_pb2.EmbedUploadRequest, config, data)
    answer = stubs.embedding.EmbedUpload(messages).embedding
    assert answer.id == "my talk"
    assert [w.code for w in answer.warnings] == [types_pb2.WARNING_CODE_RESAMPLED]


def test_a_windowing_of_its_own_is_a_space_of_its_own(stubs: Stubs) -> None:
    windowing = types_pb2.Windowing()
    windowing.length.seconds, windowing.context.seconds = 5, 1
    asked = (request(), request(windowing=windowing))
    usual, short = (stubs.embedding.Embed(each).embedding.outputs[0].space for each in asked)
    assert usual.fingerprint != short.fingerprint
    assert short.windowing == windowing


def test_timing_says_where_the_time_went(stubs: Stubs) -> None:
    timing = stubs.embedding.Embed(request(pcm(speech(5)))).timing
    stages = [timing.decode, timing.queue, timing.compute, timing.encode]
    assert all(stage.ToNanoseconds() > 0 for stage in stages)
    assert sum(stage.ToNanoseconds() for stage in stages) <= timing.total.ToNanoseconds() * 1.01


def test_timing_of_a_batch_is_of_all_its_utterances(stubs: Stubs) -> None:
    audios = [pcm(speech(2, seed)) for seed in range(20, 26)]
    timing = stubs.embedding.BatchEmbed(embedding_pb2.BatchEmbedRequest(audios=audios)).timing
    for stage in (timing.decode, timing.queue, timing.compute, timing.encode):
        assert stage.ToNanoseconds() > 0
    # Utterances are decoded, and run, side by side; each waits, and the reply is written, once.
    assert timing.encode.ToNanoseconds() <= timing.total.ToNanoseconds()
    assert timing.queue.ToNanoseconds() <= timing.total.ToNanoseconds()


@pytest.mark.parametrize("lane", types_pb2.Lane.values())
def test_any_lane_gives_the_same_answer(stubs: Stubs, usual: Floats, lane: int) -> None:
    answer = stubs.embedding.Embed(request(lane=lane)).embedding
    np.testing.assert_allclose(vector(answer), usual, atol=BOUND)


def test_many_callers_at_once_get_what_each_gets_alone(stubs: Stubs) -> None:
    requests = [request(pcm(speech(0.3 + 0.2 * seed, seed))) for seed in range(12)]
    alone = [vector(stubs.embedding.Embed(each).embedding) for each in requests]
    calls = [stubs.embedding.Embed.future(each) for each in requests]
    together = [vector(call.result().embedding) for call in calls]
    np.testing.assert_allclose(together, alone, atol=BOUND)


def test_an_upload_must_begin_with_its_config(stubs: Stubs) -> None:
    def chunks() -> Iterator[embedding_pb2.EmbedUploadRequest]:
        yield embedding_pb2.EmbedUploadRequest(audio=b"RIFF")

    def twice() -> Iterator[embedding_pb2.EmbedUploadRequest]:
        config = embedding_pb2.EmbedUploadRequest.Config()
        yield embedding_pb2.EmbedUploadRequest(config=config)
        yield embedding_pb2.EmbedUploadRequest(audio=b"RIFF")
        yield embedding_pb2.EmbedUploadRequest(config=config)

    for messages, path in ((iter(()), "config"), (chunks(), "config"), (twice(), "")):
        refusal = refused(stubs.embedding.EmbedUpload, messages)
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "STREAM_PROTOCOL")
        assert refusal.path == path
