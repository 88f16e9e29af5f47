import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.evaluation.crossing import Texts, cross, margins, neighborhood, skewness
from embedsvc.evaluation.same_content import unit
from embedsvc.types import Floats

SEEDS = st.integers(0, 2**32 - 1)


def texts(*values: str) -> Texts:
    return np.array(values, dtype=np.str_)


def made(seed: int, contents: int = 12, languages: int = 3) -> tuple[Floats, Texts, Texts]:
    """Contents said once in each language: vectors, languages and groups."""
    random = np.random.default_rng(seed)
    meanings = random.standard_normal((contents, 6))
    voices = random.standard_normal((languages, 6))
    noise = random.standard_normal((contents, languages, 6))
    vectors = (meanings[:, None] + voices[None] + noise).reshape(-1, 6)
    return (
        unit(vectors.astype(np.float32)),
        np.tile([f"l{each}" for each in range(languages)], contents),
        np.repeat([f"g{each}" for each in range(contents)], languages),
    )


def test_what_lies_together_is_found_in_every_direction() -> None:
    vectors, languages, groups = made(0)
    same = unit(np.repeat(np.eye(12, 12), 3, axis=0).astype(np.float32))
    found = cross(same, languages, groups)
    assert len(vectors) == found.together.queries == 36
    assert set(found.pairs) == {(f"l{a}", f"l{b}") for a in range(3) for b in range(3) if a != b}
    for each in (found.together, *found.pairs.values()):
        assert each.hits == {1: 1.0, 5: 1.0, 10: 1.0}
        assert (each.mrr, each.xsim) == (1.0, 0.0)
    assert found.by_margin == 1.0
    assert found.languages == {"l0": 1.0, "l1": 1.0, "l2": 1.0}


def test_vectors_that_say_nothing_find_nothing() -> None:
    _, languages, groups = made(0)
    alike = unit(np.ones((36, 4), np.float32))
    found = cross(alike, languages, groups)
    assert found.together.hits[1] == found.together.hits[10] == 0, "a tie is no hit"
    assert found.pairs["l0", "l1"].xsim == 1


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_figures_agree_with_sorting(seed: int) -> None:
    vectors, languages, groups = made(seed)
    found = cross(vectors, languages, groups)
    ranks = []
    for place, language in enumerate(languages):
        others = np.flatnonzero(languages != language)
        order = others[np.argsort(-(vectors[others] @ vectors[place]))]
        ranks.append(int(np.flatnonzero(groups[order] == groups[place])[0]))
    for depth in (1, 5, 10):
        assert found.together.hits[depth] == pytest.approx(np.mean(np.array(ranks) < depth))
    assert found.together.mrr == pytest.approx(np.mean(1 / (1 + np.array(ranks))))
    assert found.together.chance[1] == pytest.approx(1 / 12)
    assert found.pairs["l0", "l1"].chance[10] == pytest.approx(10 / 12)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_order_of_clips_does_not_matter(seed: int) -> None:
    vectors, languages, groups = made(seed)
    order = np.random.default_rng(seed).permutation(len(groups))
    one = cross(vectors, languages, groups)
    other = cross(vectors[order], languages[order], groups[order])
    assert one.together.hits == other.together.hits
    assert one.hubness == pytest.approx(other.hubness)
    for pair, found in one.pairs.items():
        assert found.hits == other.pairs[pair].hits
        assert found.xsim == other.pairs[pair].xsim


def test_clips_that_nobody_says_again_answer_but_do_not_ask() -> None:
    vectors = unit(np.array([[1, 0], [0.9, 0.1], [0.99, 0.1], [0, 1]], np.float32))
    languages, groups = texts("a", "b", "b", "a"), texts("g", "g", "", "h")
    found = cross(vectors, languages, groups)
    assert found.together.queries == 2
    assert found.together.hits[1] == 0.5, "from the first, the one without a group is nearer"
    assert not found.pairs, "too few contents are shared"


def test_without_anything_in_common_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="share"):
        cross(unit(np.eye(3, dtype=np.float32)), texts("a", "b", "b"), texts("g", "h", ""))


def test_a_margin_takes_from_hubs_what_they_have_too_much() -> None:
    scores = np.array([[0.9, 0.8], [0.9, 0.1]], np.float32)
    found = margins(scores, neighborhood(scores, 1), neighborhood(scores.T, 1))
    assert found[0, 0] == pytest.approx(0.9 / 0.9)
    assert found[0, 1] == pytest.approx(0.8 / 0.85)
    hub = np.array([[0.9, 0.85], [0.9, 0.1], [0.9, 0.1]], np.float32)
    assert margins(hub, neighborhood(hub, 2), neighborhood(hub.T, 2))[0].argmax() == 1


def test_neighbors_that_may_not_answer_do_not_count() -> None:
    scores = np.array([[0.5, -np.inf, 0.1], [-np.inf, -np.inf, 0.4]], np.float32)
    np.testing.assert_allclose(neighborhood(scores, 2), [0.3, 0.4], rtol=1e-6)


def test_skewness_is_that_of_the_textbook() -> None:
    assert skewness(np.array([3, 3, 3])) == 0
    assert skewness(np.array([0, 0, 0, 4])) == pytest.approx(1.1547, abs=1e-4)
    assert skewness(np.array([1, 2, 3])) == pytest.approx(0)
