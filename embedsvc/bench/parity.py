"""How near the answers of two engines are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedsvc.types import Floats

_TINY = 1e-9


@dataclass(frozen=True)
class Parity:
    """Over all frames: the largest difference of a number, and cosines of frames."""

    max_difference: float
    least_cosine: float
    mean_cosine: float


def parity(expected: Sequence[Floats], found: Sequence[Floats]) -> Parity:
    """Of utterances (T, D) that two engines gave in the same order.

    Raises `ValueError` when one gave other shapes, as then nothing can be compared.
    """
    for first, second in zip(expected, found, strict=True):
        if first.shape != second.shape:
            raise ValueError(f"`found` must be of shape {first.shape}, but is {second.shape}")
    # In float64, or the cosine of a frame with itself would not be 1.
    one, other = (np.concatenate(each).astype(np.float64) for each in (expected, found))
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosines = np.einsum("td,td->t", one, other) / np.maximum(lengths, _TINY)
    return Parity(float(np.abs(one - other).max()), float(cosines.min()), float(cosines.mean()))


def every_second_normalized(states: Floats) -> Floats:
    """Every second frame of states (T, D), each with mean 0 and variance 1."""
    chosen = states[::2]
    mean = chosen.mean(axis=-1, keepdims=True)
    variance = chosen.var(axis=-1, keepdims=True)
    normal: Floats = (chosen - mean) / np.sqrt(variance + 1e-5)
    return normal
