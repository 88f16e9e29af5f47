import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.bench.arrivals import poisson


@given(st.floats(0.01, 50), st.floats(0.1, 20), st.integers(1, 9), st.integers(0, 5))
def test_callers_come_in_order_and_in_time(
    rate: float, seconds: float, utterances: int, seed: int
) -> None:
    found = poisson(rate, seconds, utterances, seed)
    times = [arrival.at for arrival in found]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= seconds
    assert {arrival.utterance for arrival in found} <= set(range(utterances))


def test_there_are_as_many_as_the_rate_says() -> None:
    assert len(poisson(100, 60, 5, 0)) == pytest.approx(6_000, rel=0.05)


def test_a_seed_gives_the_same_callers() -> None:
    assert poisson(5, 10, 5, 1) == poisson(5, 10, 5, 1) != poisson(5, 10, 5, 2)
