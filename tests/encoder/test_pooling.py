import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.encoder import merge, normalize, pool
from embedsvc.types import Floats, Moments, Pooling


def moments_of(run: Floats) -> Moments:
    wide = run.astype(np.float64)
    squares = (wide.var(0) * len(run)).astype(np.float32)
    return Moments(len(run), wide.mean(0).astype(np.float32), squares, run.max(0))


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    offset=st.sampled_from([0.0, 3.0, -20.0]),
    seed=st.integers(0, 999),
)
def test_merging_any_partition_equals_the_whole(
    counts: list[int], offset: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    frames = (random.standard_normal((sum(counts), 6)) + offset).astype(np.float32)
    runs = np.split(frames, np.cumsum(counts)[:-1])
    merged, single = merge([moments_of(run) for run in runs]), moments_of(frames)
    assert merged.count == single.count
    np.testing.assert_allclose(merged.mean, single.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(merged.squares, single.squares, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(merged.peak, single.peak)


def test_merging_nothing_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merge([])


def test_each_pooling_is_its_formula() -> None:
    frames = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    moments = moments_of(frames)
    np.testing.assert_allclose(pool(moments, Pooling.MEAN), frames.mean(0), atol=1e-6)
    np.testing.assert_array_equal(pool(moments, Pooling.MAX), frames.max(0))
    both = np.concatenate((frames.mean(0), frames.std(0)))
    np.testing.assert_allclose(pool(moments, Pooling.MEAN_STD), both, atol=1e-6)


def test_one_frame_has_no_deviation() -> None:
    frames = np.ones((1, 5), np.float32)
    np.testing.assert_array_equal(pool(moments_of(frames), Pooling.MEAN_STD)[5:], 0)


def test_frames_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="no vector"):
        pool(moments_of(np.ones((1, 5), np.float32)), Pooling.NONE)


def test_pooling_hands_out_its_own_array() -> None:
    moments = moments_of(np.ones((2, 5), np.float32))
    for pooling in (Pooling.MEAN, Pooling.MAX):
        pool(moments, pooling)[:] = 7
    assert moments.mean.max() == moments.peak.max() == 1


def test_normalized_vectors_have_length_one_and_zeros_stay() -> None:
    vectors = np.array([[3, 4], [0, 0], [1e-30, 0]], np.float32)
    expected = np.array([[0.6, 0.8], [0, 0], [1, 0]])
    np.testing.assert_allclose(normalize(vectors), expected, rtol=1e-6)
    assert normalize(vectors).dtype == np.float32
