"""Directions that tell where speech was recorded, to be taken out of a projection."""

import numpy as np
from numpy.typing import NDArray

from embedsvc.types import Floats

LEAST_OF_DOMAIN = 60
"""Fewest clips of a set of recordings whose mean says something of it."""

_NOTHING = 1e-6

Texts = NDArray[np.str_]


def nuisances(vectors: Floats, domains: Texts, most: int) -> Floats:
    """Directions (k, D) in which domains differ as a whole, k <= `most`, of length 1 each.

    The principal components, about the origin, of the domains' means of standardized vectors
    (n, D): microphone, room, synthesizer, kind of speech. Speech that is parallel is mostly
    synthetic, so that nothing else says that they do not matter (Solomonoff, Quillen and Campbell
    2005, "Channel compensation for SVM speaker recognition"). None are found in a single domain.
    """
    names, counts = np.unique(domains, return_counts=True)
    told = names[counts >= LEAST_OF_DOMAIN]
    if len(told) < 2:
        return np.zeros((0, vectors.shape[1]), np.float32)
    means = np.stack([vectors[domains == name].mean(axis=0, dtype=np.float64) for name in told])
    _, sizes, directions = np.linalg.svd(means, full_matrices=False)
    count = min(most, int((sizes > sizes[0] * _NOTHING).sum()))
    found: Floats = np.ascontiguousarray(directions[:count], np.float32)
    return found


def without(matrix: Floats, directions: Floats) -> Floats:
    """Matrix (D, d) that gives the same for inputs that differ in `directions` (k, D) alone."""
    result: Floats = matrix - directions.T @ (directions @ matrix)
    return result
