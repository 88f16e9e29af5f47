import numpy as np
import pytest

from embedsvc.evaluation.probes import (
    Recipe,
    Scale,
    accuracy,
    fit,
    folds,
    macro_f1,
    unweighted_accuracy,
)

TRUTH = np.array(["a", "a", "a", "b"])
TOLD = np.array(["a", "a", "b", "b"])


def test_figures_are_those_of_their_formulas() -> None:
    assert accuracy(TRUTH, TOLD) == 0.75
    assert unweighted_accuracy(TRUTH, TOLD) == pytest.approx((2 / 3 + 1) / 2)
    assert macro_f1(TRUTH, TOLD) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_class_that_is_only_told_counts_in_f1_alone() -> None:
    told = np.array(["a", "a", "c", "b"])
    assert unweighted_accuracy(TRUTH, told) == pytest.approx((2 / 3 + 1) / 2)
    assert macro_f1(TRUTH, told) == pytest.approx((4 / 5 + 1 + 0) / 3)


def test_a_probe_tells_apart_what_a_straight_cut_can() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 20)
    centers = np.repeat(5 * np.eye(3, 6), 20, axis=0)
    vectors = (centers + random.standard_normal((60, 6))).astype(np.float32)
    probe = fit(vectors, labels, Recipe(1.0, balanced=True))
    assert accuracy(labels, probe(vectors)) > 0.95
    moved = vectors + 100
    assert accuracy(labels, probe(moved)) < 0.5
    assert accuracy(labels, probe(moved, Scale.of(moved))) > 0.95


def test_a_constant_dimension_stays_finite() -> None:
    vectors = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(Scale.of(vectors)(vectors), 0)


def test_no_group_is_on_both_sides_and_everything_is_tested_once() -> None:
    groups = np.array(list("aabbccddee"))
    tested = []
    for train, test in folds(groups, 5):
        assert not set(groups[train]) & set(groups[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(10))
