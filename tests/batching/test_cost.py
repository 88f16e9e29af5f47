import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.batching.cost import LENGTHS, Cost, Predictor, calibrated, fitted, noise

costs = st.builds(Cost, st.floats(1e-4, 0.1), st.floats(1e-6, 1e-2), st.floats(1e-9, 1e-6))


@given(costs)
def test_a_cost_is_found_again_in_what_it_predicts(cost: Cost) -> None:
    found = fitted([(length, cost.seconds([length])) for length in LENGTHS])
    for length in (25, 300, 1000):
        assert found.seconds([length]) == pytest.approx(cost.seconds([length]), rel=1e-3)


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=3))
def test_no_measurement_makes_a_negative_cost(seconds: list[float]) -> None:
    found = fitted(list(zip(LENGTHS, seconds, strict=False)))
    assert min(found.batch, found.frame, found.pair) >= 0
    assert found.seconds([500]) > 0


def test_a_slow_encoder_is_timed_on_short_utterances_only() -> None:
    timed: list[int] = []

    def run(length: int) -> float:
        timed.append(length)
        return length / 10

    assert calibrated(run).seconds([1000]) == pytest.approx(100)
    assert set(timed) == {50}


def test_the_first_pass_does_not_count() -> None:
    seconds = iter([100.0, *(length / 100 for length in LENGTHS for _ in range(2))])
    assert calibrated(lambda length: next(seconds)).seconds([1000]) == pytest.approx(10)


def test_the_knee_is_where_frames_cost_as_much_as_starting() -> None:
    assert Cost(0.01, 0.0001, 0).knee == 100
    assert Cost(0.01, 0, 0).knee == 0


def test_a_pass_that_ends_early_costs_its_part() -> None:
    predictor = Predictor(Cost(0, 0.01, 0), layers=9)
    assert predictor.base([10], 9) == pytest.approx(0.1)
    assert predictor.base([10], 4) == pytest.approx(0.05)


def test_a_clip_pays_for_its_part_of_starting_a_batch() -> None:
    predictor = Predictor(Cost(1.0, 0, 0), layers=0)
    assert predictor.share(10, 0, budget=100) == pytest.approx(0.1)
    assert predictor.share(1000, 0, budget=100) == pytest.approx(1)


def test_long_audio_costs_its_windows() -> None:
    predictor = Predictor(Cost(0, 0, 1e-6), layers=0)
    assert predictor.long(100_000, 500) == pytest.approx(100 * predictor.long(1000, 500))


def test_predictions_follow_a_machine_that_slows_down() -> None:
    predictor = Predictor(Cost(0, 0.001, 0), layers=0)
    assert predictor.scale == 1
    for _ in range(60):
        predictor.learn(1.0, 3.0)
    assert predictor.scale == pytest.approx(3, rel=0.05)
    assert predictor.error < 0.05


def test_the_first_passes_set_a_calibration_right_that_was_wrong() -> None:
    predictor = Predictor(Cost(0, 0.001, 0), layers=0)
    for _ in range(8):
        predictor.learn(1.0, 0.1)
    assert predictor.scale < 0.2


def test_one_odd_pass_moves_them_little() -> None:
    predictor = Predictor(Cost(0, 0.001, 0), layers=0)
    for _ in range(20):
        predictor.learn(1.0, 1.0)
    predictor.learn(1.0, 1000.0)
    assert 1 < predictor.scale < 1.2
    predictor.learn(0.0, 1.0)
    predictor.learn(1.0, 0.0)
    assert 1 < predictor.scale < 1.2


def test_noise_is_always_the_same() -> None:
    np.testing.assert_array_equal(noise(7).features, noise(7).features)
    assert noise(7).features.shape == (7, 160)
