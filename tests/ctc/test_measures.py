"""Figures of confidence are what their definitions say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from embedsvc.ctc.measures import judge

TOLD = st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=40)


@given(TOLD)
def test_figures_are_those_of_their_definitions(told: list[tuple[int, bool]]) -> None:
    confidence = np.array([each[0] / 10 for each in told])
    right = np.array([each[1] for each in told])
    figures = judge(confidence, right)
    assert (figures.count, figures.wrong) == (len(told), int((~right).sum()))
    assert 0 <= figures.ece <= 1
    if right.all() or not right.any():
        assert figures.auc is figures.nce is None
    else:
        assert figures.auc == pytest.approx(roc_auc_score(right, confidence))
        assert figures.nce is not None
        assert figures.nce <= 1


def test_confidence_in_what_is_right_is_best() -> None:
    right = np.array([True, False, True, True])
    figures = judge(right.astype(np.float64), right)
    assert (figures.auc, figures.ece) == (1, 0)
    assert figures.nce == pytest.approx(1, abs=1e-4)


def test_the_share_itself_is_calibrated_and_tells_nothing() -> None:
    figures = judge(np.full(4, 0.75), np.array([True, False, True, True]))
    assert (figures.auc, figures.ece, figures.nce) == (0.5, 0, 0)


def test_errors_that_are_told_as_sure_count_against_confidence() -> None:
    right = np.array([True, False, True, False])
    figures = judge(np.ones(4), right)
    assert figures.ece == 0.5
    assert figures.nce is not None
    assert figures.nce < -1


def test_nothing_has_no_error() -> None:
    figures = judge(np.zeros(0), np.zeros(0, np.bool_))
    assert (figures.count, figures.auc, figures.ece) == (0, None, 0)
