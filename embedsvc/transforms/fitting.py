"""Fitting a transform on vectors of the collection that it is for.

`drop` leaves out the leading principal components, which all vectors share (Mu and Viswanath
2018, "All-but-the-top"). `whiten` gives every direction that is left the same weight (Jégou and
Chum 2012). There is no choice between PCA and ZCA whitening: they differ by a turn, which no
cosine sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.transforms.languages import fit_centers
from embedsvc.transforms.shrinkage import covariance
from embedsvc.transforms.transform import Transform
from embedsvc.types import Floats, TransformRecipe

Doubles = NDArray[np.float64]

LEAST_VECTORS = 32
"""From fewer nothing can be learned about what vectors have in common."""

LEAST_DEVIATION = 1e-6
"""A dimension that varies less says nothing, and must not be blown up."""


@dataclass(frozen=True)
class Sample:
    """Vectors (N, D) to fit on; of each its language, or empty, and the recording it is of."""

    vectors: Floats
    languages: Sequence[str]
    recordings: Sequence[str]

    def __len__(self) -> int:
        return len(self.vectors)


def width(recipe: TransformRecipe, dim: int) -> int:
    """Dimensions that come out of `dim`; raises InvalidArgument for a recipe that cannot be."""
    if not 0 <= recipe.drop < dim:
        raise InvalidArgument(
            f"`drop` must be 0 to {dim - 1}, one less than there are dimensions, "
            f"but is {recipe.drop}",
            field="drop",
        )
    left = dim - recipe.drop
    if recipe.dim is not None and not 1 <= recipe.dim <= left:
        raise InvalidArgument(
            f"`dim` must be 1 to {left}, the dimensions that are left, but is {recipe.dim}",
            field="dim",
        )
    return recipe.dim or left


def fit(sample: Sample, recipe: TransformRecipe) -> Transform:
    """The transform of `recipe`.

    Raises InvalidArgument as `width`, and FailedPrecondition when `sample` is too small for it.
    """
    if len(sample) < LEAST_VECTORS:
        raise FailedPrecondition(
            f"`collection` must have at least {LEAST_VECTORS} segments to fit on, "
            f"but has {len(sample)}",
            field="collection",
        )
    kept = width(recipe, sample.vectors.shape[1])
    centers = None
    vectors = sample.vectors
    if recipe.language:
        centers = fit_centers(vectors, sample.languages, sample.recordings)
        if centers is None:
            raise FailedPrecondition(
                f"`language` must be a field with at least two values that are frequent enough, "
                f"but {recipe.language!r} is not",
                field="language",
            )
        vectors = centers.remove(vectors)
    mean, matrix = _affine(vectors.astype(np.float64), recipe, kept)
    return Transform(mean.astype(np.float32), matrix.astype(np.float32), centers)


def _affine(x: Doubles, recipe: TransformRecipe, kept: int) -> tuple[Doubles, Doubles]:
    """Mean (D,) and matrix (D, kept)."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    scale = np.ones_like(mean)
    if recipe.standardize:
        scale = np.where(deviation > LEAST_DEVIATION, 1 / np.maximum(deviation, 1e-300), 0.0)
    plain = not (recipe.drop or recipe.whiten or kept < len(mean))
    if plain:
        return mean, np.diag(scale)
    variances, components = np.linalg.eigh(covariance((x - mean) * scale))
    last = len(mean) - recipe.drop
    chosen = slice(last - kept, last)
    directions = _signed(components[:, chosen])[:, ::-1]
    if recipe.whiten:
        directions = directions / np.sqrt(np.maximum(variances[chosen][::-1], LEAST_DEVIATION**2))
    return mean, scale[:, None] * directions


def _signed(components: Doubles) -> Doubles:
    """Columns with their largest value positive: their sign is otherwise left to chance."""
    largest = np.abs(components).argmax(axis=0)
    signed: Doubles = components * np.sign(components[largest, range(components.shape[1])])
    return signed
