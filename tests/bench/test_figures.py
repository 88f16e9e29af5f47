from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.bench.figures import Spread, percentile, percentiles

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(VALUES, st.floats(0, 100))
def test_a_percentile_is_that_of_numpy(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(np.percentile(values, percent), abs=1e-6)


@given(VALUES)
def test_a_spread_lies_within_what_was_measured(values: list[float]) -> None:
    spread = Spread.of(values)
    bounds = [min(values), spread.low, spread.median, spread.high, max(values)]
    assert all(first <= second + 1e-6 for first, second in pairwise(bounds))


@given(VALUES)
def test_higher_percentiles_are_not_smaller(values: list[float]) -> None:
    found = percentiles(values)
    assert list(found) == ["p50", "p95", "p99"]
    assert found["p50"] <= found["p95"] + 1e-6 <= found["p99"] + 2e-6


def test_without_values_there_are_no_percentiles() -> None:
    assert percentiles([]) == {}
