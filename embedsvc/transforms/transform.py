"""A fitted transform: arithmetic on vectors, and a hash that says which."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedsvc.transforms.languages import Centers
from embedsvc.types import Floats

LEAST_LENGTH = 1e-9
"""A vector shorter than this has no direction left: its numbers are rounding."""


@dataclass(frozen=True)
class Transform:
    """The map to unit length of (x - center of its language - mean) @ matrix.

    `mean` is (D,) and `matrix` (D, d); without `centers` no language is guessed.
    """

    mean: Floats
    matrix: Floats
    centers: Centers | None = None

    @property
    def takes(self) -> int:
        """Dimensions D of what goes in."""
        return len(self.mean)

    @property
    def gives(self) -> int:
        """Dimensions d of what comes out."""
        return int(self.matrix.shape[1])

    @cached_property
    def digest(self) -> str:
        """The first 16 hex digits of a SHA-256 over all its numbers and names."""
        hashed = hashlib.sha256()
        parts = [self.mean, self.matrix]
        if self.centers is not None:
            parts += [self.centers.weights, self.centers.bias, self.centers.means]
            hashed.update("\n".join(self.centers.languages).encode())
        for part in parts:
            hashed.update(repr(part.shape).encode())
            hashed.update(np.ascontiguousarray(part, "<f4").tobytes())
        return hashed.hexdigest()[:16]

    def __call__(self, vectors: Floats) -> Floats:
        """Unit vectors (N, d) of vectors (N, D).

        In float64, so that a vector becomes the same whatever others are moved with it. One that
        nothing is left of becomes the first axis: it points nowhere in particular.
        """
        left = vectors if self.centers is None else self.centers.remove(vectors)
        moved = (left.astype(np.float64) - self.mean) @ self._matrix
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        nothing = lengths[:, 0] < LEAST_LENGTH
        moved[nothing] = np.eye(1, self.gives)
        lengths[nothing] = 1.0
        unit: Floats = (moved / lengths).astype(np.float32)
        return unit

    @cached_property
    def _matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        wide: np.ndarray[tuple[int, int], np.dtype[np.float64]] = self.matrix.astype(np.float64)
        return wide
