import pytest

from embedsvc.evaluation.detection import BETA, Detection, best_term_weighted_value

HOUR = 3_600.0


def test_nothing_detected_is_worth_nothing() -> None:
    assert best_term_weighted_value([], {0: 1, 1: 3}, HOUR) == 0


def test_everything_detected_and_nothing_else_is_worth_one() -> None:
    found = [Detection(0, 0.5, right=True), *(Detection(1, 0.4, right=True) for _ in range(3))]
    assert best_term_weighted_value(found, {0: 1, 1: 3}, HOUR) == 1


def test_a_false_alarm_costs_what_the_evaluations_say() -> None:
    found = [Detection(0, 0.9, right=False), Detection(0, 0.8, right=True)]
    expected = 1 - BETA / (HOUR - 1)
    assert best_term_weighted_value(found, {0: 1}, HOUR) == pytest.approx(expected)


def test_the_best_threshold_is_taken() -> None:
    found = [
        Detection(0, 0.9, right=True),
        Detection(1, 0.8, right=False),
        Detection(1, 0.7, right=True),
    ]
    # Beyond the first, a false alarm costs more than the second is worth in a short archive.
    assert best_term_weighted_value(found, {0: 1, 1: 1}, 600.0) == 0.5
    assert best_term_weighted_value(found, {0: 1, 1: 1}, HOUR) == pytest.approx(
        1 - BETA / (HOUR - 1) / 2
    )


def test_equal_scores_pass_a_threshold_together() -> None:
    found = [Detection(0, 0.5, right=True), Detection(0, 0.5, right=False)]
    assert best_term_weighted_value(found, {0: 1}, 600.0) == 0
