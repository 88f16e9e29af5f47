import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics

from embedsvc.probes.figures import (
    average_precision,
    calibration_error,
    concordance,
    confusion,
    f1,
    per_label,
    rank_correlation,
)

CHANCE = np.random.default_rng(0)
TRUTH, TOLD = CHANCE.integers(0, 4, 200), CHANCE.integers(0, 4, 200)


def test_the_table_of_labels_is_that_of_scikit_learn() -> None:
    counts = confusion(TRUTH, TOLD, 4)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(TRUTH, TOLD))
    theirs = metrics.precision_recall_fscore_support(TRUTH, TOLD, zero_division=0)
    for name, column in zip(("precision", "recall", "f1"), theirs, strict=False):
        np.testing.assert_allclose(per_label(counts)[name], column)


def test_average_precision_is_that_of_scikit_learn() -> None:
    scores, truth = CHANCE.normal(size=100), CHANCE.random(100) < 0.2
    theirs = metrics.average_precision_score(truth, scores)
    assert average_precision(scores, truth) == pytest.approx(theirs)
    assert np.isnan(average_precision(scores, np.zeros(100, bool)))


def test_f1_of_sets_is_that_of_scikit_learn() -> None:
    told, truth = CHANCE.random((50, 3)) < 0.4, CHANCE.random((50, 3)) < 0.4
    np.testing.assert_allclose(f1(told, truth), metrics.f1_score(truth, told, average=None))


@pytest.mark.parametrize("equal_mass", [True, False])
def test_who_is_as_sure_as_right_has_no_calibration_error(equal_mass: bool) -> None:
    sure = CHANCE.uniform(0.3, 1, 50_000)
    right = CHANCE.random(50_000) < sure
    assert calibration_error(sure, right, equal_mass=equal_mass) < 0.01
    always = np.ones(50_000)
    wrong = calibration_error(always, right, equal_mass=equal_mass)
    assert wrong == pytest.approx(1 - right.mean())


def test_concordance_is_1_only_for_equal_numbers() -> None:
    values = np.arange(10.0)
    assert concordance(values, values) == pytest.approx(1)
    assert concordance(values + 3, values) < 0.9
    assert concordance(np.full(10, 4.5), values) == 0


def test_rank_correlation_is_that_of_scipy_ties_included() -> None:
    a, b = CHANCE.integers(0, 9, 80), CHANCE.integers(0, 9, 80)
    ours = rank_correlation(a.astype(float), b.astype(float))
    assert ours == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0
