import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.bench.parity import every_second_normalized, parity
from embedsvc.types import Floats


def states(length: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((length, 8)).astype(np.float32)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_equal_answers_have_no_difference(lengths: list[int]) -> None:
    given = [states(length) for length in lengths]
    found = parity(given, given)
    assert found.max_difference == 0
    assert found.least_cosine == pytest.approx(1, abs=1e-12)


def test_one_frame_that_is_off_shows_in_the_least_cosine() -> None:
    expected, found = states(10), states(10)
    found[3] = -found[3]
    compared = parity([expected], [found])
    assert compared.least_cosine == pytest.approx(-1)
    assert compared.mean_cosine == pytest.approx(0.8)
    assert compared.max_difference == pytest.approx(2 * np.abs(expected[3]).max())


def test_other_shapes_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match=r"`found` must be of shape \(4, 8\)"):
        parity([states(4)], [states(3)])


def test_every_second_state_is_normalized() -> None:
    found = every_second_normalized(3 + 5 * states(7))
    assert found.shape == (4, 8)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=1), 1, atol=1e-3)
