"""What makes two vectors comparable, and a hash that says so."""

import hashlib
import json
from dataclasses import dataclass

from embedsvc.types import Pooling, Space, Windowing

FEATURES_VERSION = 1
"""Raised whenever the same audio gives other features than before."""


@dataclass(frozen=True)
class Identity:
    """The encoder behind a space: its name, the hash of its weights, its hidden size."""

    model: str
    weights: str
    dim: int


@dataclass(frozen=True)
class Recipe:
    """How hidden states become the vectors of a space.

    `projection` is a tag or empty, `dim` the dimensions it gives; None keeps those pooling gives.
    """

    layer: int
    pooling: Pooling
    projection: str = ""
    normalized: bool = True
    dim: int | None = None


def space_of(identity: Identity, recipe: Recipe, windowing: Windowing) -> Space:
    """Space of an encoder's vectors, with its fingerprint.

    The fingerprint is the first 32 hex digits of a SHA-256 over the canonical JSON of all that
    decides a vector, and the version of the features. The model's name is not in it: the same
    weights in another folder make the same vectors.
    """
    dim = pooled_dim(identity.dim, recipe.pooling) if recipe.dim is None else recipe.dim
    fields = {
        "weights": identity.weights,
        "layer": recipe.layer,
        "pooling": recipe.pooling.value,
        "windowing": {"length": windowing.length, "context": windowing.context},
        "projection": recipe.projection,
        "normalized": recipe.normalized,
        "dim": dim,
        "features": FEATURES_VERSION,
    }
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return Space(
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest()[:32],
        model=identity.model,
        weights=identity.weights,
        layer=recipe.layer,
        pooling=recipe.pooling,
        windowing=windowing,
        projection=recipe.projection,
        normalized=recipe.normalized,
        dim=dim,
    )


def pooled_dim(dim: int, pooling: Pooling) -> int:
    """Dimensions after pooling states of `dim` dimensions.

    >>> pooled_dim(1024, Pooling.MEAN), pooled_dim(1024, Pooling.MEAN_STD)
    (1024, 2048)
    """
    return 2 * dim if pooling is Pooling.MEAN_STD else dim
