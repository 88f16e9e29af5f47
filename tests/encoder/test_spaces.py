import dataclasses

import pytest

from embedsvc.encoder import Identity, Recipe, space_of
from embedsvc.types import Pooling, Windowing

IDENTITY = Identity("mini", "ab" * 32, 192)
RECIPE = Recipe(4, Pooling.MEAN, "standard:0123456789ab")


def test_a_fingerprint_is_stable_across_versions() -> None:
    # A change here makes every stored collection incomparable: raise FEATURES_VERSION knowingly.
    space = space_of(IDENTITY, RECIPE, Windowing())
    assert space.fingerprint == "547159c606b0ce342557de8438dcd82d"


@pytest.mark.parametrize(
    ("identity", "recipe", "windowing"),
    [
        (dataclasses.replace(IDENTITY, model="other"), RECIPE, Windowing()),
        (dataclasses.replace(IDENTITY, weights="cd" * 32), RECIPE, Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, layer=5), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, pooling=Pooling.MAX), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, projection=""), Windowing()),
        (IDENTITY, dataclasses.replace(RECIPE, normalized=False), Windowing()),
        (IDENTITY, RECIPE, Windowing(length=160_000)),
        (IDENTITY, RECIPE, Windowing(context=8_000)),
    ],
)
def test_every_field_changes_the_fingerprint(
    identity: Identity, recipe: Recipe, windowing: Windowing
) -> None:
    usual = space_of(IDENTITY, RECIPE, Windowing())
    assert space_of(identity, recipe, windowing).fingerprint != usual.fingerprint


def test_mean_and_deviation_double_the_dimensions() -> None:
    recipe = dataclasses.replace(RECIPE, pooling=Pooling.MEAN_STD)
    assert space_of(IDENTITY, recipe, Windowing()).dim == 384
    assert space_of(IDENTITY, RECIPE, Windowing()).dim == 192
