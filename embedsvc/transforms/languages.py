"""What all speech of one language shares, guessed and taken away.

Vectors of a sentence lie nearer to other sentences of the same language than to their own
translations. Subtracting the mean of each language takes most of that away. The language of a
vector is not asked for but guessed, also of those stored, so that both sides of a search are
treated alike: by linear discriminant analysis, whose posteriors weigh the means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.transforms.shrinkage import covariance
from embedsvc.types import Floats

Doubles = NDArray[np.float64]

LEAST_VECTORS = 4
"""A language with fewer has no mean of its own: it would be that of one speaker and few words."""

PRIOR_VECTORS = 4.0
"""A mean is drawn to that of all languages as if so many vectors of these were in it."""

TEMPERATURES = np.geomspace(1.0, 64.0, 25)
"""Divisors of the discriminants to choose from: with many dimensions these are far too sure."""


@dataclass(frozen=True)
class Centers:
    """Means (L, D) of `languages`, less that of all, and what tells the languages apart.

    The posterior of a vector x (D,) is softmax(x @ weights + bias); `weights` are (D, L).
    """

    languages: tuple[str, ...]
    weights: Floats
    bias: Floats
    means: Floats

    def posterior(self, vectors: Floats) -> Floats:
        """Probabilities (N, L) of the languages for vectors (N, D)."""
        return _softmax(vectors.astype(np.float64) @ self.weights + self.bias).astype(np.float32)

    def remove(self, vectors: Floats) -> Floats:
        """Vectors (N, D) without the mean of the language they are likely in."""
        chance = _softmax(vectors.astype(np.float64) @ self.weights + self.bias)
        left: Floats = (vectors - chance @ self.means).astype(np.float32)
        return left


def fit_centers(vectors: Floats, languages: Sequence[str], groups: Sequence[str]) -> Centers | None:
    """Centers of vectors (N, D); None unless two languages have enough.

    `groups` say which vectors are of one recording; none is used both to fit and to calibrate.
    """
    named = np.array(languages, dtype=object)
    names = sorted(
        name for name in set(languages) if name and (named == name).sum() >= LEAST_VECTORS
    )
    if len(names) < 2:
        return None
    chosen = np.isin(named, names)
    x = vectors[chosen].astype(np.float64)
    y = np.searchsorted(names, named[chosen].astype(str))
    weights, bias = _discriminants(x, y, len(names))
    temperature = _temperature(x, y, np.array(groups, dtype=object)[chosen], len(names))
    means, counts = _means(x, y, len(names))
    drawn = (counts / (counts + PRIOR_VECTORS))[:, None] * (means - means.mean(axis=0))
    return Centers(
        languages=tuple(names),
        weights=(weights / temperature).astype(np.float32),
        bias=(bias / temperature).astype(np.float32),
        means=drawn.astype(np.float32),
    )


def _discriminants(x: Doubles, y: NDArray[np.int64], count: int) -> tuple[Doubles, Doubles]:
    """Weights (D, L) and bias (L,) of discriminants with equal priors.

    The covariance within languages is shrunk for its size.
    """
    means, _ = _means(x, y, count)
    within = covariance(x - means[y])
    ridge = 1e-9 * np.trace(within) / len(within)
    weights = np.linalg.solve(within + ridge * np.eye(len(within)), means.T)
    return weights, -0.5 * (means.T * weights).sum(axis=0)


def _temperature(
    x: Doubles, y: NDArray[np.int64], groups: NDArray[np.object_], count: int
) -> float:
    """The divisor that makes the truth most likely in recordings that were not fitted on."""
    _, number = np.unique(groups.astype(str), return_inverse=True)
    held = number % 2 == 1
    if len(np.unique(y[~held])) < count or not held.any():
        return float(TEMPERATURES[len(TEMPERATURES) // 2])
    weights, bias = _discriminants(x[~held], y[~held], count)
    scores = x[held] @ weights + bias
    losses = [
        -np.log(_softmax(scores / each)[np.arange(held.sum()), y[held]] + 1e-12).mean()
        for each in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _means(x: Doubles, y: NDArray[np.int64], count: int) -> tuple[Doubles, Doubles]:
    sums = np.zeros((count, x.shape[1]))
    np.add.at(sums, y, x)
    counts = np.bincount(y, minlength=count).astype(np.float64)
    return sums / np.maximum(counts, 1)[:, None], counts


def _softmax(scores: Doubles) -> Doubles:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return shares
