import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.training.nuisances import LEAST_OF_DOMAIN, Texts, nuisances, without
from embedsvc.types import Floats

COUNT = LEAST_OF_DOMAIN


def recorded(seed: int) -> tuple[Floats, Texts]:
    """Three sets of recordings, each moved as a whole, and a small one moved far."""
    random = np.random.default_rng(seed)
    moves = np.repeat(5 * random.standard_normal((3, 9)), COUNT, axis=0)
    large = moves + random.standard_normal((3 * COUNT, 9))
    small = 100 + random.standard_normal((COUNT - 1, 9))
    domains = np.repeat(["a", "b", "c", "few"], [COUNT, COUNT, COUNT, COUNT - 1])
    return np.concatenate([large, small]).astype(np.float32), domains


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sets_of_recordings_do_not_differ_any_more(seed: int) -> None:
    vectors, domains = recorded(seed)
    directions = nuisances(vectors, domains, 8)
    assert len(directions) == 3
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-5)
    matrix = np.random.default_rng(seed).standard_normal((9, 4)).astype(np.float32)
    even = vectors @ without(matrix, directions)
    means = np.stack([even[domains == name].mean(axis=0) for name in "abc"])
    np.testing.assert_allclose(means, 0, atol=1e-3)
    assert even.std() > 0.1


def test_no_more_are_taken_than_wanted_and_none_of_one_set() -> None:
    vectors, domains = recorded(0)
    assert len(nuisances(vectors, domains, 1)) == 1
    assert len(nuisances(vectors[:COUNT], domains[:COUNT], 8)) == 0
    matrix = np.eye(9, 4, dtype=np.float32)
    np.testing.assert_array_equal(without(matrix, np.zeros((0, 9), np.float32)), matrix)
