import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client, OutputSpec, Pooling, Windowing
from embedsvc.client import Embedding
from embedsvc.errors import (
    AudioEmpty,
    AudioTooShort,
    AudioUndecodable,
    ChannelsRejected,
    EmbedsvcError,
    FailedPrecondition,
    InvalidArgument,
    ModelNotFound,
    SampleRateOutOfRange,
    SamplesNotFinite,
    Unavailable,
)
from embedsvc.samples import clips
from embedsvc.timing import frame_count
from embedsvc.types import ChannelPolicy, Floats, Lane, WarningCode


def near(left: Floats, right: Floats) -> None:
    np.testing.assert_allclose(left, right, atol=2e-5)


def test_a_clip_becomes_one_vector_of_length_1(client: Client, clip: Path) -> None:
    embedding = client.embed(clip)
    assert embedding.vector.dtype == np.float32
    assert embedding.vector.shape == (embedding.space.dim,)
    assert np.linalg.norm(embedding.vector) == pytest.approx(1.0, abs=1e-5)
    assert embedding.frame_count == frame_count(round(embedding.seconds * 16_000))


def test_local_and_remote_give_the_same(local: Client, remote: Client, clip: Path) -> None:
    here, there = local.embed(clip), remote.embed(clip)
    near(here.vector, there.vector)
    assert here.space == there.space
    assert here.digest == there.digest
    assert local.info() == remote.info()


def test_a_client_tells_what_is_loaded_and_whether_it_is_well(client: Client) -> None:
    info = client.info()
    (body,) = info.bodies
    assert (body.model, body.weights) == (info.model, info.weights)
    assert (body.parameters, body.precision) == (info.parameters, info.precision)
    assert set(body.heads) == {head.name for head in client.heads()}
    assert (body.serving, body.not_serving_since) == (True, None)
    assert client.info() is info
    again = client.info(refresh=True)
    assert again is not info
    assert again == info


def test_a_path_its_text_its_bytes_and_its_samples_are_one_utterance(
    client: Client, clip: Path, wav: bytes, speech: Floats
) -> None:
    sources = (clip, str(clip), clip.read_bytes(), wav, (speech, 16_000))
    first, *others = [client.embed(source) for source in sources]
    for other in others:
        assert other.digest == first.digest
        near(other.vector, first.vector)


def test_float64_samples_of_a_strided_view_are_taken_by_value(
    client: Client, speech: Floats
) -> None:
    other = speech[::-1].astype(np.float64)
    wide = np.stack([speech.astype(np.float64), other], axis=1)[:, 0]
    assert not wide.flags.c_contiguous
    vector = client.embed((wide, 16_000)).vector
    near(vector, client.embed((speech, 16_000)).vector)
    assert not np.allclose(vector, client.embed((other, 16_000)).vector, atol=1e-2)


def test_stereo_is_mixed_unless_the_caller_says_otherwise(client: Client, speech: Floats) -> None:
    stereo = np.stack([speech, np.zeros_like(speech)], axis=1)
    mixed = client.embed((stereo, 16_000))
    assert WarningCode.DOWNMIXED in {warning.code for warning in mixed.warnings}
    near(
        client.embed((stereo, 16_000), channels="first").vector,
        client.embed((speech, 16_000)).vector,
    )
    with pytest.raises(ChannelsRejected) as caught:
        client.embed((stereo, 16_000), channels=ChannelPolicy.REJECT)
    assert caught.value.field


def test_frames_are_an_array_of_time_and_dimension(client: Client, clip: Path) -> None:
    embedding = client.embed(clip, layer=6, pooling="none")
    assert embedding.vector.shape == (embedding.frame_count, client.info().dim)
    assert embedding.space.layer == 6
    assert embedding.space.pooling is Pooling.NONE
    assert embedding.outputs[0].span.start == 0


def test_several_outputs_come_from_one_pass(client: Client, clip: Path) -> None:
    specs = [OutputSpec("low", 2, Pooling.MEAN), OutputSpec("frames", -1, Pooling.NONE)]
    low, frames = client.embed(clip, outputs=specs).outputs
    assert (low.name, low.space.layer, low.array.ndim) == ("low", 2, 1)
    assert (frames.name, frames.space.layer, frames.array.ndim) == (
        "frames",
        client.info().layers,
        2,
    )


@pytest.mark.parametrize(
    ("samples", "rate", "kind"),
    [
        (np.zeros(0, np.float32), 16_000, AudioEmpty),
        (np.zeros(500, np.float32), 16_000, AudioTooShort),
        (np.zeros(16_000, np.float32), 3_999, SampleRateOutOfRange),
        (np.full(16_000, np.nan, np.float32), 16_000, SamplesNotFinite),
    ],
)
def test_samples_that_are_no_speech_raise_their_own_error(
    client: Client, samples: Floats, rate: int, kind: type[EmbedsvcError]
) -> None:
    with pytest.raises(kind) as caught:
        client.embed((samples, rate))
    assert caught.value.field.startswith("audio")
    assert caught.value.reason == kind.reason


def test_an_error_brings_its_facts(client: Client) -> None:
    with pytest.raises(SampleRateOutOfRange) as caught:
        client.embed((np.zeros(16_000, np.float32), 3_999))
    assert "3999" in caught.value.facts.values()
    assert "3999" in caught.value.message


def test_bytes_that_are_no_audio_are_undecodable(client: Client) -> None:
    with pytest.raises(AudioUndecodable) as caught:
        client.embed(b"no sound in here " * 100)
    assert caught.value.field.startswith("audio")


def test_a_missing_file_is_named_before_anything_is_sent(client: Client, tmp_path: Path) -> None:
    with pytest.raises(AudioUndecodable, match=r"nowhere\.wav"):
        client.embed(tmp_path / "nowhere.wav")
    with pytest.raises(AudioUndecodable, match=tmp_path.name):
        client.embed(tmp_path)


def test_integer_samples_are_refused_rather_than_taken_for_noise(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"floats in \[-1, 1\], but are int16") as caught:
        client.embed((np.ones(16_000, np.int16), 16_000))
    assert caught.value.field == "samples"


@pytest.mark.parametrize("rate", [-16_000, 0, 16_000.5, 2**40])
def test_a_rate_is_a_whole_number_of_hertz(client: Client, speech: Floats, rate: int) -> None:
    assert client.embed((speech, np.float64(16_000))).frame_count  # type: ignore[arg-type]
    with pytest.raises(SampleRateOutOfRange, match="hertz"):
        client.embed((speech, rate))


def test_samples_have_one_or_two_axes(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"\(1, 2, 3\)"):
        client.embed((np.zeros((1, 2, 3), np.float32), 16_000))


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"pooling": "best"}, "pooling"), ({"channels": "left"}, "channels"), ({"lane": "x"}, "lane")],
)
def test_a_word_that_is_no_choice_is_answered_with_the_choices(
    client: Client, clip: Path, asked: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidArgument, match="must be one of") as caught:
        client.embed(clip, **asked)  # type: ignore[arg-type]  # the mistake
    assert caught.value.field == field


@pytest.mark.parametrize("lane", [Lane.NORMAL, "bulk", None])
def test_any_lane_gives_the_same_and_the_times_it_took(
    client: Client, clip: Path, lane: Lane | str | None
) -> None:
    embedding = client.embed(clip, lane=lane)
    near(embedding.vector, client.embed(clip).vector)
    timing = embedding.timing
    assert min(timing.decode, timing.compute, timing.encode) > 0
    assert timing.decode + timing.queue + timing.compute + timing.encode <= timing.total
    assert all(isinstance(each, Embedding) for each in client.embed_batch([clip], lane=lane))


def test_a_layer_that_is_not_there_names_the_output(client: Client, clip: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client.embed(clip, layer=99)
    assert caught.value.field.endswith("outputs[0].layer")


def test_another_windowing_is_another_space(client: Client, clip: Path) -> None:
    long, short = client.embed(clip), client.embed(clip, windowing=Windowing(32_000, 8_000))
    assert long.space.fingerprint != short.space.fingerprint
    assert long.digest == short.digest


def test_a_batch_holds_an_embedding_or_an_error_in_each_place(
    client: Client, clip: Path, tmp_path: Path
) -> None:
    bad, good, missing, mute = client.embed_batch(
        [b"no sound", clip, tmp_path / "nowhere.wav", (np.zeros(9, np.float32), 16_000)]
    )
    assert isinstance(bad, AudioUndecodable)
    assert isinstance(good, Embedding)
    assert isinstance(missing, AudioUndecodable)
    assert isinstance(mute, AudioTooShort)
    near(good.vector, client.embed(clip).vector)


def test_a_batch_of_nothing_readable_is_all_errors(client: Client, tmp_path: Path) -> None:
    answers = client.embed_batch([tmp_path, tmp_path / "nowhere.wav"])
    assert [type(answer) for answer in answers] == [AudioUndecodable] * 2


def test_an_empty_batch_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument):
        client.embed_batch([])


def test_threads_share_a_client(client: Client) -> None:
    chosen = clips("query")
    alone = [client.embed(clip.path).vector for clip in chosen]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda clip: client.embed(clip.path).vector, chosen))
    near(np.stack(together), np.stack(alone))
    # Each is its own, and not that of another thread.
    likeness = np.stack(together) @ np.stack(alone).T
    assert (likeness.argmax(axis=1) == np.arange(len(chosen))).all()


def test_two_clients_of_one_server_do_not_disturb_each_other(
    target: str, remote: Client, clip: Path
) -> None:
    def embed(_: int) -> Floats:
        with Client(target) as other:
            return other.embed(clip).vector

    expected = remote.embed(clip).vector
    with ThreadPoolExecutor(4) as threads:
        for vector in threads.map(embed, range(8)):
            near(vector, expected)


def test_waiting_for_a_server_that_serves_returns_at_once(client: Client) -> None:
    started = time.perf_counter()
    client.wait_until_serving(timeout=30.0)
    assert time.perf_counter() - started < 10.0


def test_waiting_for_nobody_ends_with_the_time_allowed() -> None:
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        client.wait_until_serving(timeout=0.3)


def test_no_server_is_told_soon_and_by_name() -> None:
    started = time.perf_counter()
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        client.info()
    assert time.perf_counter() - started < 20.0


def test_a_server_of_another_model_says_so(target: str, clip: Path) -> None:
    with Client(target, model="other") as client, pytest.raises(ModelNotFound, match="other"):
        client.embed(clip)


def test_a_client_closes_twice_and_then_refuses(target: str, clip: Path) -> None:
    client = Client(target)
    collection = client.collection("any")
    client.embed(clip)
    client.close()
    client.close()
    for call in (
        lambda: client.embed(clip),
        client.wait_until_serving,
        client.collections,
        collection.info,
        client.collection("other").count,
        lambda: client.embed_batch([clip]),
    ):
        with pytest.raises(FailedPrecondition, match="closed"):
            call()


def test_a_client_that_is_closed_before_its_first_call_refuses_too(target: str) -> None:
    client = Client(target)
    client.close()
    with pytest.raises(FailedPrecondition, match="closed"):
        client.info()
