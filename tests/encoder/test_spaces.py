import dataclasses

import pytest

from embedsvc.encoder import Identity, Recipe, space_of
from embedsvc.types import Pooling, Windowing

IDENTITY = Identity("mini", "ab" * 32, 192)
RECIPE = Recipe(4, Pooling.MEAN, "standard:0123456789ab")


def test_a_fingerprint_is_stable_across_versions() -> None:
    # A change here makes every stored collection incomparable: raise FEATURES_VERSION knowingly.
    space = space_of(IDENTITY, RECIPE, Windowing())
    assert space.fingerprint == "a50844c1799563c61e9fce2aed578dbf"


@pytest.mark.parametrize(
    ("identity", "recipe", "windowing"),
    [
        (dataclasses.replace(IDENTITY, weights="cd" * 32), RECIPE, Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, layer=5), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, pooling=Pooling.MAX), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, projection=""), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, normalized=False), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, dim=128), Windowing()),
        (IDENTITY, RECIPE, Windowing(length=160_000)),
        (IDENTITY, RECIPE, Windowing(context=8_000)),
    ],
)
def test_whatever_decides_a_vector_changes_the_fingerprint(
    identity: Identity, recipe: Recipe, windowing: Windowing
) -> None:
    usual = space_of(IDENTITY, RECIPE, Windowing())
    assert space_of(identity, recipe, windowing).fingerprint != usual.fingerprint


def test_the_name_of_a_model_does_not_change_the_fingerprint() -> None:
    renamed = space_of(dataclasses.replace(IDENTITY, model="other"), RECIPE, Windowing())
    assert renamed.fingerprint == space_of(IDENTITY, RECIPE, Windowing()).fingerprint
    assert renamed.model == "other"


def test_mean_and_deviation_double_the_dimensions() -> None:
    recipe = dataclasses.replace(RECIPE, pooling=Pooling.MEAN_STD)
    assert space_of(IDENTITY, recipe, Windowing()).dim == 384
    assert space_of(IDENTITY, RECIPE, Windowing()).dim == 192


def test_a_projection_decides_the_dimensions_of_its_space() -> None:
    narrow = dataclasses.replace(RECIPE, pooling=Pooling.MEAN_STD, dim=256)
    assert space_of(IDENTITY, narrow, Windowing()).dim == 256
    same = dataclasses.replace(RECIPE, dim=192)
    assert space_of(IDENTITY, same, Windowing()) == space_of(IDENTITY, RECIPE, Windowing())
