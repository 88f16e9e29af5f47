import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.transforms import Sample, fit
from embedsvc.types import TransformRecipe
from tests.transforms.speech import DIM, found, made

WHAT = made()
PLAIN = WHAT.sample.vectors / np.linalg.norm(WHAT.sample.vectors, axis=1, keepdims=True)


def test_without_languages_translations_are_found() -> None:
    raw = found(PLAIN, WHAT)
    whitened = found(fit(WHAT.sample, TransformRecipe(whiten=True))(WHAT.sample.vectors), WHAT)
    centered = found(
        fit(WHAT.sample, TransformRecipe(language="language"))(WHAT.sample.vectors), WHAT
    )
    assert raw < 0.7
    assert centered > 0.95
    assert centered > max(raw, whitened)


def test_what_it_learned_holds_for_others() -> None:
    transform = fit(WHAT.sample, TransformRecipe(language="language"))
    rows = np.arange(len(WHAT.sample))
    half = rows[WHAT.sentences % 2 == 0]
    learned = fit(
        Sample(
            WHAT.sample.vectors[half],
            [WHAT.sample.languages[i] for i in half],
            [WHAT.sample.recordings[i] for i in half],
        ),
        TransformRecipe(language="language"),
    )
    assert found(learned(WHAT.sample.vectors), WHAT) > 0.9 * found(
        transform(WHAT.sample.vectors), WHAT
    )


def test_whitening_gives_all_directions_the_same_weight() -> None:
    many = made(sentences=1_000, apart=0.5).sample
    moved = (
        many.vectors - (transform := fit(many, TransformRecipe(whiten=True))).mean
    ) @ transform.matrix
    covariance = np.cov(moved.T)
    assert np.allclose(np.diag(covariance), 1, atol=0.2)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.1


def test_standardizing_alone_keeps_the_axes() -> None:
    transform = fit(WHAT.sample, TransformRecipe())
    assert np.count_nonzero(transform.matrix) == DIM
    moved = (WHAT.sample.vectors - transform.mean) @ transform.matrix
    assert np.allclose(moved.std(axis=0), 1, atol=1e-3)


def test_leading_components_are_dropped() -> None:
    random = np.random.default_rng(1)
    loud = random.standard_normal(DIM)
    loud /= np.linalg.norm(loud)
    vectors = random.standard_normal((400, DIM)) + 50 * random.standard_normal((400, 1)) * loud
    sample = Sample(vectors.astype(np.float32), [""] * 400, [str(i) for i in range(400)])
    transform = fit(sample, TransformRecipe(standardize=False, drop=1))
    assert transform.gives == DIM - 1
    assert np.abs(loud @ transform.matrix).max() < 0.05


@given(drop=st.integers(0, 5), dim=st.integers(1, DIM - 5), whiten=st.booleans())
@settings(max_examples=20, deadline=None)
def test_dimensions_are_as_asked(drop: int, dim: int, whiten: bool) -> None:
    transform = fit(WHAT.sample, TransformRecipe(drop=drop, dim=dim, whiten=whiten))
    moved = transform(WHAT.sample.vectors)
    assert moved.shape == (len(WHAT.sample), transform.gives) == (len(WHAT.sample), dim)
    assert np.allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


def test_a_dimension_that_never_varies_is_not_blown_up() -> None:
    still = WHAT.sample.vectors.copy()
    still[:, 3] = 7.0
    transform = fit(Sample(still, WHAT.sample.languages, WHAT.sample.recordings), TransformRecipe())
    off = still[:1].copy()
    off[0, 3] += 1.0
    assert np.allclose(transform(off), transform(still[:1]), atol=1e-3)


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (TransformRecipe(drop=-1), "drop"),
        (TransformRecipe(drop=DIM), "drop"),
        (TransformRecipe(dim=0), "dim"),
        (TransformRecipe(dim=DIM + 1), "dim"),
        (TransformRecipe(drop=4, dim=22), "dim"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(recipe: TransformRecipe, field: str) -> None:
    with pytest.raises(InvalidArgument, match=str(getattr(recipe, field))) as refused:
        fit(WHAT.sample, recipe)
    assert refused.value.field == field


def test_a_small_collection_is_refused() -> None:
    few = Sample(WHAT.sample.vectors[:31], [""] * 31, [""] * 31)
    with pytest.raises(FailedPrecondition, match="at least 32 segments to fit on, but has 31"):
        fit(few, TransformRecipe())


def test_a_field_that_names_no_languages_is_refused() -> None:
    nameless = Sample(WHAT.sample.vectors, [""] * len(WHAT.sample), WHAT.sample.recordings)
    with pytest.raises(FailedPrecondition, match="'tongue' is not"):
        fit(nameless, TransformRecipe(language="tongue"))
