"""What pooled vectors go through before they are compared."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.training.projections import SHRINKAGE, discriminate, whiten
from embedsvc.types import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray


def vectors(seed: int, count: int = 400, size: int = 12) -> Floats:
    random = np.random.default_rng(seed)
    mixing: NDArray[np.float64] = random.normal(size=(size, size))
    mixed: NDArray[np.float64] = random.normal(size=(count, size)) @ mixing + 5
    return np.asarray(mixed, np.float32)


def applied(parts: tuple[Floats, Floats, Floats], values: Floats) -> Floats:
    mean, scale, matrix = parts
    return np.asarray(((values - mean) * scale) @ matrix, np.float32)


@given(st.integers(0, 500), st.integers(2, 12))
@settings(max_examples=15, deadline=None)
def test_whitened_dimensions_do_not_vary_together(seed: int, dim: int) -> None:
    values = vectors(seed)
    white = applied(whiten(values, dim), values)
    covariance = white.T @ white / len(white)
    assert white.shape[1] == dim
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-3
    assert np.diag(covariance).max() <= 1 / (1 - SHRINKAGE) + 1e-3


def test_a_dimension_that_never_varies_is_left_out() -> None:
    values = vectors(1)
    values[:, 3] = 7.0
    for parts in (whiten(values, 4), discriminate(values, np.arange(400) // 4, 4)):
        assert np.isfinite(applied(parts, values)).all()


@pytest.mark.parametrize("loud", [3.0, 30.0])
def test_what_varies_within_a_class_is_shrunk(loud: float) -> None:
    """Forty classes differ in four dimensions; one direction varies a lot in all of them."""
    random = np.random.default_rng(2)
    classes = np.repeat(np.arange(40), 10)
    values = random.normal(size=(400, 6)).astype(np.float32)
    values[:, :4] += 3 * random.normal(size=(40, 4))[classes]
    values[:, 4] *= loud
    values[:, :2] += values[:, 4:5]
    seen = applied(discriminate(values, classes, 6), values)
    order = np.argsort(((seen[:, None] - seen[None]) ** 2).sum(axis=-1), axis=1)[:, 1]
    raw = np.argsort(((values[:, None] - values[None]) ** 2).sum(axis=-1), axis=1)[:, 1]
    assert (classes[order] == classes).mean() > 1.1 * (classes[raw] == classes).mean()
