import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.transforms import Transform, fit
from embedsvc.types import TransformRecipe
from tests.transforms.speech import DIM, made

SAMPLE = made().sample
FITTED = fit(SAMPLE, TransformRecipe(language="language", dim=12))


@given(rows=st.lists(st.integers(0, len(SAMPLE) - 1), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_a_vector_becomes_the_same_in_any_company(rows: list[int]) -> None:
    together = FITTED(SAMPLE.vectors[rows])
    alone = np.concatenate([FITTED(SAMPLE.vectors[[row]]) for row in rows])
    assert np.abs(together - alone).max() <= 1e-7


def test_of_no_vectors_come_none() -> None:
    assert FITTED(np.zeros((0, DIM), np.float32)).shape == (0, 12)


def test_a_vector_that_nothing_is_left_of_still_has_a_direction() -> None:
    plain = Transform(np.ones(3, np.float32), np.eye(3, 2, dtype=np.float32))
    moved = plain(np.array([[1, 1, 1], [1, 3, 9]], np.float32))
    assert moved.tolist() == [[1, 0], [0, 1]]


def test_equal_numbers_have_an_equal_digest() -> None:
    again = fit(SAMPLE, TransformRecipe(language="language", dim=12))
    assert again.digest == FITTED.digest
    assert fit(SAMPLE, TransformRecipe(language="language", dim=11)).digest != FITTED.digest
    assert fit(SAMPLE, TransformRecipe(dim=12)).digest != FITTED.digest
