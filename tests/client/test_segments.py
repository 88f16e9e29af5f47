"""Rows of the segments of a recording, and frames window by window."""

import numpy as np
import pytest

from embedsvc import Client, OutputSpec, PcmFormat, Pooling, SampleFormat, Segmentation
from embedsvc.errors import InvalidArgument, MessageTooLarge
from embedsvc.samples import clips
from embedsvc.testing import serving
from embedsvc.types import DType, Floats

SECOND = 16_000


@pytest.fixture(scope="module")
def talk() -> Floats:
    import soundfile

    return np.concatenate([soundfile.read(c.path, dtype="float32")[0] for c in clips()[:12]])


def test_segments_are_those_of_a_collection(client: Client, talk: Floats) -> None:
    cut = Segmentation(4 * SECOND, 2 * SECOND)
    found = client.embed_segments((talk, SECOND), cut)
    collection = client.create_collection("cut", segmentation=cut, exist_ok=True)
    collection.add("talk", (talk, SECOND))
    stored = collection.segments("talk")
    assert found.outputs[0].segments == tuple(segment.span for segment in stored)
    np.testing.assert_allclose(found.vector, [each.vector for each in stored], atol=1e-3)


def test_several_outputs_are_cut_alike_and_frames_are_not(client: Client, talk: Floats) -> None:
    specs = [OutputSpec("v"), OutputSpec("l", layer=2), OutputSpec("f", pooling=Pooling.NONE)]
    found = client.embed_segments((talk[: 12 * SECOND], SECOND), outputs=specs)
    vectors, layer, frames = found.outputs
    assert len(vectors.array) == len(layer.array) == len(vectors.segments) == 3
    assert (len(frames.array), frames.segments) == (found.frame_count, ())


def test_probes_answer_for_all_of_it(client: Client, talk: Floats) -> None:
    source = (talk[: 12 * SECOND], SECOND)
    found = client.embed_segments(source, probes=["language"])
    (answer,) = found.answers
    (alone,) = client.embed(source, probes=["language"]).answers
    assert len(found.vector) == 3
    assert answer.classification.labels == alone.classification.labels


def test_a_batch_can_be_cut(client: Client, talk: Floats) -> None:
    cut = Segmentation(SECOND, SECOND)
    short, longer = (talk[: 2 * SECOND], SECOND), (talk[: 5 * SECOND], SECOND)
    first, second = client.embed_batch([short, longer], segmentation=cut)
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert (len(first.vector), len(second.vector)) == (2, 5)


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (Segmentation(100, 100), "`options.segment_length` must be 1 s to 60 s"),
        (Segmentation(SECOND, 2 * SECOND), "`options.segment_hop` must be 0.5 s up to `length`"),
    ],
)
def test_a_cut_that_makes_no_sense_is_refused(
    client: Client, wav: bytes, cut: Segmentation, told: str
) -> None:
    with pytest.raises(InvalidArgument, match=told):
        client.embed_segments(wav, cut)


def test_windows_joined_are_the_frames_of_the_whole(client: Client, talk: Floats) -> None:
    specs = [OutputSpec("f", layer=3, pooling=Pooling.NONE, dtype=DType.FLOAT32)]
    whole = client.embed((talk, SECOND), outputs=specs)
    windows = list(client.embed_windows((talk, SECOND), outputs=specs))
    assert len(windows) > 1
    joined = np.concatenate([window.embedding.vector for window in windows])
    np.testing.assert_allclose(joined, whole.vector, atol=1e-4)
    assert [window.span.start for window in windows][1:] == [w.span.end for w in windows][:-1]
    assert windows[-1].span.end == len(talk)


def test_frames_of_float32_are_exact_and_of_float16_are_not(client: Client, wav: bytes) -> None:
    exact, rounded = (
        client.embed(wav, outputs=[OutputSpec(pooling=Pooling.NONE, dtype=dtype)]).vector
        for dtype in (DType.FLOAT32, DType.FLOAT16)
    )
    assert np.array_equal(rounded, rounded.astype(np.float16))
    assert not np.array_equal(exact, exact.astype(np.float16))
    np.testing.assert_allclose(exact, rounded, rtol=2e-3, atol=1e-3)


def test_frames_too_many_for_a_message_come_as_windows(talk: Floats) -> None:
    small = {"server": {"max_response_bytes": 700_000}}
    specs = [OutputSpec(pooling=Pooling.NONE)]
    with serving(small) as address, Client(address) as client:
        with pytest.raises(MessageTooLarge):
            client.embed((talk, SECOND), outputs=specs)
        windows = client.embed_windows((talk, SECOND), outputs=specs)
        assert sum(len(window.embedding.vector) for window in windows) > 2_000


def test_segments_too_many_for_a_message_are_refused(talk: Floats) -> None:
    small = {"server": {"max_response_bytes": 40_000}}
    with serving(small) as address, Client(address) as client:
        assert len(client.embed_segments((talk, SECOND)).vector) == 16
        with pytest.raises(MessageTooLarge, match="ask for longer segments"):
            client.embed_segments((talk, SECOND), Segmentation(SECOND, SECOND // 2))


def test_who_answers_by_windows_cannot_answer_by_segments(client: Client, wav: bytes) -> None:
    from embedsvc.client.options import options
    from embedsvc.v1 import embedding_pb2

    pcm = PcmFormat(SampleFormat.S16, SECOND)
    asked = options("", [OutputSpec()], None, None, segmentation=Segmentation())
    config = embedding_pb2.EmbedUploadRequest.Config(options=asked)
    request = embedding_pb2.EmbedUploadRequest(config=config)
    with pytest.raises(InvalidArgument, match="segment_length` must be absent"):
        list(client._caller.stream(client._stubs.embedding.EmbedWindows, iter([request])))
    assert list(client.stream([bytes(64_000)], pcm))
