import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.evaluation.crossing import Texts
from embedsvc.evaluation.same_content import unit
from embedsvc.evaluation.stages import FITTED, TRUE, by_language, by_transform, stages
from embedsvc.types import Floats


def spoken(seed: int = 0) -> tuple[Floats, Texts, Texts]:
    """40 contents in three languages, whose means are far apart."""
    random = np.random.default_rng(seed)
    meanings = random.standard_normal((40, 8))
    voices = 4 * random.standard_normal((3, 8))
    vectors = meanings[:, None] + voices[None] + 0.2 * random.standard_normal((40, 3, 8))
    return (
        unit(vectors.reshape(-1, 8).astype(np.float32)),
        np.tile(["one", "two", "three"], 40),
        np.repeat([f"g{each}" for each in range(40)], 3),
    )


def test_what_keeps_its_language_finds_more_once_that_is_taken_away() -> None:
    vectors, languages, groups = spoken()
    found = {
        stage.name: stage.crossing
        for stage in stages({"plain": vectors}, frozenset({"plain"}), languages, groups)
    }
    assert list(found) == ["plain", f"plain, {TRUE}", f"plain, {FITTED}"]
    plain, truly, fitted = (each.together.hits[1] for each in found.values())
    assert plain + 0.05 < min(truly, fitted)
    assert truly > 0.8


def test_only_what_is_named_is_centered() -> None:
    vectors, languages, groups = spoken()
    found = list(stages({"a": vectors, "b": -vectors}, frozenset({"b"}), languages, groups))
    assert [stage.name for stage in found] == ["a", "b", f"b, {TRUE}", f"b, {FITTED}"]
    assert found[0].as_object()["together"]["r1"] == found[0].crossing.together.hits[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_a_language_that_is_moved_as_a_whole_stays_where_it_was(seed: int) -> None:
    vectors, languages, _ = spoken(seed)
    moved = vectors + (languages == "two")[:, None] * np.float32(3)
    np.testing.assert_allclose(
        by_language(vectors, languages), by_language(moved, languages), atol=1e-4
    )


def test_what_no_transform_can_be_fitted_on_stays_as_it_is() -> None:
    vectors, _, groups = spoken()
    languages = np.full(len(groups), "one")
    assert by_transform(vectors, languages, groups) is vectors


def test_a_clip_is_not_centered_by_what_it_says_itself() -> None:
    vectors, languages, groups = spoken()
    changed = vectors.copy()
    changed[groups == "g0"] = -changed[groups == "g0"]
    one = by_transform(vectors, languages, groups)
    other = by_transform(changed, languages, groups)
    same = [place for place, group in enumerate(groups) if group != "g0"]
    untouched = np.isclose(one[same], other[same], atol=1e-6).all(axis=1)
    assert 0.4 < untouched.mean() < 0.6, "those whose means came from the other half"
