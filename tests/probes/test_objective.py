import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from embedsvc.probes.descent import descend
from embedsvc.probes.examples import Target
from embedsvc.probes.fitting import Data, Effort, fit
from embedsvc.probes.objective import Line, Problem, Scale, from_flat, to_flat
from embedsvc.probes.progress import Progress
from embedsvc.types import ProbeTask
from tests.probes.speakers import silent

TASKS = list(ProbeTask)


def data(task: ProbeTask, *, spaces: int = 1, balanced: bool = False, n: int = 300) -> Data:
    chance = np.random.default_rng(3)
    vectors = (chance.normal(size=(n, 6 * spaces)) * chance.uniform(0.5, 3, 6 * spaces)) + 2
    scores = vectors @ chance.normal(size=(6 * spaces, 3)) + chance.normal(size=(n, 3))
    labels: tuple[str, ...] = ("a", "b", "c")
    if task is ProbeTask.SINGLE_LABEL:
        truth = np.eye(3, dtype=np.uint8)[scores.argmax(axis=1)]
    elif task is ProbeTask.MULTI_LABEL:
        truth = (scores > scores.mean(axis=0)).astype(np.uint8)
    else:
        truth, labels = scores[:, :1] / scores[:, 0].std(), ()
    return Data(vectors.astype(np.float32), Target(task, labels, truth), balanced, spaces)


def fitted(of: Data, strength: float) -> tuple[Problem, Line]:
    rows = np.arange(len(of.vectors))
    found = fit(of, rows, Effort(strength, 1e-6), Progress(silent, 1))
    return found.problem, found.line


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("spaces", [1, 3])
def test_the_slope_is_that_of_the_value(task: ProbeTask, spaces: int) -> None:
    of = data(task, spaces=spaces, balanced=True)
    problem = of.problem(np.arange(200))
    flat = 0.3 * np.random.default_rng(0).normal(size=len(to_flat(problem.start(), problem)))
    _, slope = problem.value(from_flat(flat, problem), 0.5)
    told = to_flat(slope, problem)
    for at in range(0, len(flat), 5):
        step = np.zeros_like(flat)
        step[at] = 1e-2
        above, below = (problem.value(from_flat(flat + s, problem), 0.5)[0] for s in (step, -step))
        assert (above - below) / 2e-2 == pytest.approx(told[at], abs=2e-3)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_single_labels_are_fitted_as_by_scikit_learn(strength: float, balanced: bool) -> None:
    of = data(ProbeTask.SINGLE_LABEL, balanced=balanced)
    problem, line = fitted(of, strength)
    scaled = problem.parts(problem.rows)[:, 0]
    weighing = "balanced" if balanced else None
    theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=1000, class_weight=weighing)
    theirs.fit(scaled, of.target.classes)
    np.testing.assert_allclose(line.weights.T, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(line.bias - line.bias.mean(), theirs.intercept_, atol=2e-3)


def test_several_labels_are_fitted_as_one_by_one_by_scikit_learn() -> None:
    of = data(ProbeTask.MULTI_LABEL, balanced=True)
    problem, line = fitted(of, 0.3)
    scaled = problem.parts(problem.rows)[:, 0]
    for label in range(3):
        # A sum over labels is divided by the weight of all: each keeps its own optimum.
        theirs = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000, class_weight="balanced")
        theirs.fit(scaled, of.target.truth[:, label])
        np.testing.assert_allclose(line.weights[:, label], theirs.coef_[0], atol=3e-3)


@pytest.mark.parametrize("strength", [0.001, 0.1])
def test_numbers_are_fitted_as_by_ridge_regression(strength: float) -> None:
    of = data(ProbeTask.REGRESSION)
    problem, line = fitted(of, strength)
    theirs = Ridge(alpha=1 / strength).fit(problem.parts(problem.rows)[:, 0], of.target.truth)
    np.testing.assert_allclose(line.weights[:, 0], np.ravel(theirs.coef_), atol=1e-3)


def test_the_one_useful_layer_gets_the_weight() -> None:
    of = data(ProbeTask.SINGLE_LABEL)
    noise = np.random.default_rng(9).normal(size=(len(of.vectors), 12)).astype(np.float32)
    mixed = Data(np.hstack([noise, of.vectors]), of.target, balanced=False, spaces=3)
    found = fit(mixed, np.arange(len(noise)), Effort(1.0), Progress(silent, 1))
    assert found.mix.argmax() == 2
    assert found.mix[2] > 0.9
    assert found.mix.sum() == pytest.approx(1)


def test_blocks_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    of = data(ProbeTask.SINGLE_LABEL)
    rows = np.arange(len(of.vectors))
    whole, whole_slope = of.problem(rows).value(of.problem(rows).start(), 1.0)
    monkeypatch.setattr("embedsvc.probes.objective._BLOCK_NUMBERS", 64 * 6)
    monkeypatch.setattr("embedsvc.probes.objective._KEPT_NUMBERS", 0)
    parts, parts_slope = of.problem(rows).value(of.problem(rows).start(), 1.0)
    assert parts == pytest.approx(whole, rel=1e-6)
    np.testing.assert_allclose(parts_slope.weights, whole_slope.weights, atol=1e-6)


def test_a_constant_dimension_says_nothing() -> None:
    vectors = np.column_stack([np.full(50, 7.3), np.arange(50)]).astype(np.float32)
    scale = Scale.of(vectors, np.arange(50))
    assert scale.factor[0] == 0
    moved = (vectors - scale.mean) * scale.factor
    assert moved[:, 1].std() == pytest.approx(1, abs=1e-5)


@given(st.integers(2, 30), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_bowl_is_descended_to_its_bottom(dim: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    bottom, turn = chance.normal(size=dim), np.linalg.qr(chance.normal(size=(dim, dim)))[0]
    bend = turn @ np.diag(np.geomspace(1, 100, dim)) @ turn.T

    def look(place: np.ndarray) -> tuple[float, np.ndarray]:
        away = place - bottom
        return float(away @ bend @ away) / 2, bend @ away

    found = descend(look, np.zeros(dim), most=400, close=1e-8)
    np.testing.assert_allclose(found, bottom, atol=1e-2)


def test_whoever_looks_can_end_a_descent() -> None:
    looks = []

    def look(place: np.ndarray) -> tuple[float, np.ndarray]:
        looks.append(place)
        if len(looks) == 3:
            raise KeyboardInterrupt
        return float(place @ place), 2 * place

    with pytest.raises(KeyboardInterrupt):
        descend(look, np.ones(4) * 100, most=100, close=0)
    assert len(looks) == 3
