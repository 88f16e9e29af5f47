"""What alignment finds, compared with plain dynamic programming and with what was put there."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.moments import alignment
from embedsvc.moments.alignment import NEVER, STEPS
from embedsvc.types import Floats


def noise(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def by_hand(similarity: Floats) -> Floats:
    """The best total of each end, cell by cell."""
    total = similarity.astype(np.float64)
    for row in range(1, len(similarity)):
        for end in range(similarity.shape[1]):
            before = [total[row - 1, end - step] for step in range(STEPS + 1) if end >= step]
            total[row, end] += max(before)
    return np.asarray(total[-1] / len(similarity), np.float32)


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 99))
def test_scores_are_those_of_plain_dynamic_programming(n: int, m: int, seed: int) -> None:
    similarity = noise(seed, n, m)
    np.testing.assert_allclose(alignment.whole(similarity), by_hand(similarity), atol=1e-5)


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 99))
def test_a_path_adds_up_to_its_score(n: int, m: int, seed: int) -> None:
    similarity = noise(seed, n, m)
    path = alignment.path_of_whole(similarity)
    rows, columns = zip(*path.pairs, strict=True)
    assert rows == tuple(range(n))
    assert all(0 <= after - before <= STEPS for before, after in pairwise(columns))
    assert columns[-1] == m - 1
    assert sum(path.similarities) / n == pytest.approx(alignment.whole(similarity)[-1], abs=1e-5)


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 99))
def test_a_part_adds_up_to_its_score(n: int, m: int, seed: int) -> None:
    similarity = noise(seed, n, m)
    path = alignment.path_of_part(similarity, 0.25)
    above = sum(value - 0.25 for value in path.similarities) / n
    assert above == pytest.approx(alignment.local(similarity, 0.25)[-1], abs=1e-5)


def test_nothing_goes_through_a_wall() -> None:
    similarity = np.ones((3, 12), np.float32)
    similarity[:, 5 : 5 + STEPS] = NEVER
    for scores in (alignment.whole(similarity), alignment.local(similarity, 0.5)):
        assert np.isneginf(scores[5 : 5 + STEPS]).all()
    similarity[0, :5] = 0.0
    # A path that had come from before the wall would know the zero there.
    assert alignment.whole(similarity)[7] == 1.0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_any_order_looks_back_as_far_as_the_query_is_long(n: int) -> None:
    similarity = noise(n, n, 30)
    expected = [
        similarity[:, max(0, end - n + 1) : end + 1].max(axis=1).mean() for end in range(30)
    ]
    np.testing.assert_allclose(alignment.any_order(similarity), expected, rtol=1e-5)
