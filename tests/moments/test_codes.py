"""Codes of frames: small, whatever pieces the frames come in, and of what changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DataLoss, FailedPrecondition
from embedsvc.moments import Coder, Recipe, fit, recipe_of, units
from embedsvc.types import Codes, Floats

DIM = 12


def states(seed: int, frames: int, dim: int = DIM) -> Floats:
    """States that change slowly, as those of speech do."""
    steps = np.random.default_rng(seed).standard_normal((frames, dim))
    return np.asarray(np.cumsum(steps, axis=0), np.float32)


def plain(reach: int = 5, width: int = 4) -> Recipe:
    return Recipe("space", 3, width, reach, np.eye(DIM, dtype=np.float32))


def coded(recipe: Recipe, *parts: Floats) -> Codes:
    coder = Coder(recipe)
    for part in parts:
        coder.push(part)
    return coder.finish()


def by_hand(recipe: Recipe, frames: Floats) -> Floats:
    """Unit codes, one by one."""
    means = [
        frames[first : first + recipe.width].mean(axis=0)
        for first in range(0, len(frames), recipe.width)
    ]
    taken = np.array(means) @ recipe.matrix
    reach = recipe.reach
    left = [
        each - taken[max(0, place - reach) : place + reach + 1].mean(axis=0)
        for place, each in enumerate(taken)
    ]
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    return np.asarray(left / np.maximum(lengths, 1e-9), np.float32)


@given(st.integers(1, 120), st.integers(0, 9), st.integers(1, 5), st.integers(0, 50))
def test_codes_are_what_changes(frames: int, reach: int, width: int, seed: int) -> None:
    recipe = plain(reach, width)
    heard = states(seed, frames)
    found = units(coded(recipe, heard))
    expected = by_hand(recipe, heard)
    assert len(found) == -(-frames // width)
    if reach:
        assert (found * expected).sum(axis=1)[np.linalg.norm(expected, axis=1) > 0.5].min(
            initial=1
        ) > 0.999


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 50))
def test_pieces_do_not_matter(lengths: list[int], seed: int) -> None:
    heard = states(seed, sum(lengths))
    parts = np.split(heard, np.cumsum(lengths)[:-1])
    difference = coded(plain(), *parts).astype(int) - coded(plain(), heard).astype(int)
    assert np.abs(difference).max() <= 1


def test_what_is_always_there_does_not_matter() -> None:
    heard = states(1, 200)
    np.testing.assert_array_equal(coded(plain(), heard + np.float32(64)), coded(plain(), heard))


def test_silence_is_like_nothing() -> None:
    assert not units(coded(plain(), np.zeros((40, DIM), np.float32))).any()


def test_an_hour_is_held_as_codes_alone() -> None:
    coder = Coder(plain())
    for minute in range(60):
        coder.push(states(minute, 3_000))
        assert len(coder._held) <= 2 * 5 + 1
    assert coder.finish().nbytes == 60 * 750 * DIM


def test_a_recipe_keeps_the_directions_that_vary() -> None:
    chance = np.random.default_rng(1)
    mixing = chance.standard_normal((3, 100))
    heard = [
        (states(seed, 300, 3) @ mixing + 0.01 * chance.standard_normal((300, 100))).astype(
            np.float32
        )
        for seed in range(6)
    ]
    recipe = fit("space", 2, heard)
    assert recipe.matrix.shape == (100, 64)
    assert (recipe.layer, recipe.rate) == (2, 12.5)
    # Three directions hold nearly all there is.
    left = coded(recipe, heard[0]).astype(float)
    assert (left[:, 3:] ** 2).sum() < 0.01 * (left**2).sum()
    np.testing.assert_array_equal(fit("space", 2, heard).matrix, recipe.matrix)


def test_a_recipe_of_few_dimensions_keeps_them_all() -> None:
    assert fit("space", 0, [states(1, 400)]).dim == DIM


def test_a_recipe_comes_back_from_its_bytes() -> None:
    recipe = fit("space", 2, [states(1, 400)])
    back = recipe_of(recipe.to_bytes())
    assert (back.space, back.layer, back.width, back.reach) == ("space", 2, 4, recipe.reach)
    np.testing.assert_array_equal(back.matrix, recipe.matrix)


@pytest.mark.parametrize("harm", [b"", b"{}\n", b"no", b'{"version": 1, "shape": [9, 9]}\n1234'])
def test_a_damaged_recipe_is_refused(harm: bytes) -> None:
    with pytest.raises(DataLoss, match="recipe"):
        recipe_of(harm)


def test_a_recipe_of_another_version_is_refused() -> None:
    data = plain().to_bytes().replace(b'"version": 1', b'"version": 2')
    with pytest.raises(FailedPrecondition, match="has 2"):
        recipe_of(data)
