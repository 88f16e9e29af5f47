import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.probes.examples import Target
from embedsvc.probes.figures import calibration_error
from embedsvc.probes.numbers import KNOTS
from embedsvc.probes.scores import cooled, curved, log_odds
from embedsvc.probes.trust import (
    best_answers,
    conformal_quantile,
    curves,
    least_probabilities,
    quantiles,
    temperature,
)
from embedsvc.types import ProbeRecipe, ProbeTask
from tests.probes.speakers import Crowd, trained

SINGLE = ProbeTask.SINGLE_LABEL


def drawn(heat: float, count: int = 4000, labels: int = 5) -> tuple[np.ndarray, Target]:
    """Raw scores that are too sure by `heat`, and labels drawn by what they should have said."""
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(count, labels)) * 2
    told = cooled(logits, 1.0, SINGLE)
    label = (told.cumsum(axis=1) > chance.random((count, 1))).argmax(axis=1)
    truth = np.eye(labels, dtype=np.uint8)[label]
    return logits * heat, Target(SINGLE, tuple("abcde"[:labels]), truth)


@pytest.mark.parametrize("heat", [0.4, 1.0, 3.0])
def test_the_temperature_is_what_scores_were_heated_by(heat: float) -> None:
    logits, target = drawn(heat)
    assert temperature(logits, target, np.arange(4000)) == pytest.approx(heat, rel=0.1)


def test_curves_calibrate_what_no_temperature_can() -> None:
    logits, target = drawn(1.0)
    bent = np.cbrt(logits) * 4
    truth = target.truth.astype(float)
    heat = temperature(bent, target, np.arange(4000))
    curve = curves(log_odds(bent, SINGLE), truth, heat)
    assert (np.diff(curve, axis=1) >= 0).all()
    told = curved(log_odds(bent, SINGLE), curve, SINGLE)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    plain = cooled(bent, heat, SINGLE)

    def error(found: np.ndarray) -> float:
        right = found.argmax(axis=1) == target.classes
        return calibration_error(found.max(axis=1), right, equal_mass=True)

    assert error(told) < error(plain)
    assert error(told) < 0.03


def test_a_label_with_few_examples_is_cooled_instead() -> None:
    odds = np.random.default_rng(0).normal(size=(100, 2))
    truth = np.zeros((100, 2))
    truth[:5, 0], truth[:50, 1] = 1, 1
    curve = curves(odds, truth, 2.0)
    np.testing.assert_allclose(curve[0], 1 / (1 + np.exp(-KNOTS / 2)), rtol=1e-5)
    assert np.abs(curve[1] - curve[0]).max() > 0.05


@given(st.integers(1, 60), st.floats(0.01, 0.5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_conformal_quantile_leaves_few_enough_outside(n: int, alpha: float, seed: int) -> None:
    scores = np.random.default_rng(seed).random(n)
    within = np.mean(scores <= conformal_quantile(scores, alpha))
    assert within >= min(1, (1 - alpha) * (n + 1) / n) - 1e-9


def test_with_too_few_examples_every_label_is_in_the_set() -> None:
    told = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert least_probabilities(told, told > 0.5, 0.1).tolist() == [0, 0]


def test_prediction_sets_hold_the_truth_as_often_as_they_promise() -> None:
    # Many speakers, whose voices nearly hide the label: what is measured is not by chance.
    found = []
    for seed in range(4):
        crowd = Crowd(labels=4, speakers=150, utterances=3, dim=8, apart=0.7, voice=1.0, seed=seed)
        found.append(
            trained(crowd.examples(), ProbeRecipe(alpha=0.1, strengths=(0.1,))).info.figures
        )
    assert np.mean([each["coverage"] for each in found]) == pytest.approx(0.9, abs=0.02)
    assert 1 < np.mean([each["set_size"] for each in found]) < 3
    assert np.mean([each["unknown_known"] for each in found]) == pytest.approx(0.05, abs=0.02)


def test_what_a_probe_is_sure_of_is_right_as_often() -> None:
    crowd = Crowd(labels=4, speakers=200, utterances=3, dim=8, apart=0.7, voice=1.0)
    for calibration in ("temperature", "isotonic"):
        recipe = ProbeRecipe(calibration=calibration, strengths=(0.1,), test_share=0.5)
        figures = trained(crowd.examples(), recipe).info.figures
        assert figures["ece"] < 0.06
        assert figures["nll"] < 1.05 * figures["nll_before"]


def test_answers_are_those_with_the_best_f1() -> None:
    told = np.array([[0.9], [0.4], [0.35], [0.1], [0.05]])
    truth = np.array([[True], [True], [True], [False], [False]])
    assert 0.1 < best_answers(told, truth)[0] < 0.35


def test_quantiles_never_fall() -> None:
    known = np.random.default_rng(0).normal(size=(50, 3))
    each, together = quantiles(known)
    assert (np.diff(each) >= 0).all()
    assert (np.diff(together) >= 0).all()
