"""From the states of frames to small codes that can be kept, and compared one by one.

Letters: T frames of D dimensions, N codes of d dimensions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import DataLoss, FailedPrecondition
from embedsvc.timing import FRAME, FRAME_RATE
from embedsvc.types import Codes, Floats

PEAK = 127
"""The largest number in a code; -128 is not used, so that signs are alike."""

_VERSION = 1
_FLOOR = 1e-6


@dataclass(frozen=True)
class Recipe:
    """How `width` frames of a `layer` become a code, in the space of frames `space`.

    Their mean x (D,) becomes (x - mean) @ matrix, with `mean` (D,) and `matrix` (D, d), at any
    length: codes are compared by cosine.
    """

    space: str
    layer: int
    width: int
    mean: Floats
    matrix: Floats

    @property
    def dim(self) -> int:
        """Numbers in a code."""
        return int(self.matrix.shape[1])

    @property
    def step(self) -> int:
        """Samples from one code to the next."""
        return self.width * FRAME

    @property
    def rate(self) -> float:
        """Codes a second."""
        return FRAME_RATE / self.width

    def __call__(self, states: Floats) -> Codes:
        """Codes (N, d) of states (T, D), N the smallest number with N * width >= T.

        The last one may be of fewer frames. Each is scaled so that its largest number is 127.
        """
        starts = np.arange(0, len(states), self.width)
        counts = np.minimum(self.width, len(states) - starts)[:, None]
        means = np.add.reduceat(states, starts, axis=0, dtype=np.float64) / counts
        return rounded((means - self.mean) @ self.matrix)

    def to_bytes(self) -> bytes:
        """The recipe as a collection keeps it: a line of JSON, then `mean` and `matrix`."""
        head = {
            "version": _VERSION,
            "space": self.space,
            "layer": self.layer,
            "width": self.width,
            "shape": self.matrix.shape,
        }
        parts = (self.mean.astype("<f4").tobytes(), self.matrix.astype("<f4").tobytes())
        return json.dumps(head).encode() + b"\n" + b"".join(parts)


def recipe_of(data: bytes) -> Recipe:
    """A recipe from what `to_bytes` made; raises DataLoss for anything else."""
    head, _, body = data.partition(b"\n")
    try:
        known = json.loads(head)
        version, (rows, columns) = known["version"], known["shape"]
        numbers = np.frombuffer(body, "<f4").astype(np.float32)
        mean, matrix = numbers[:rows], numbers[rows:].reshape(rows, columns)
        recipe = Recipe(known["space"], known["layer"], known["width"], mean, matrix)
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss("`collection` must have a readable recipe of its codes") from error
    if version != _VERSION:
        raise FailedPrecondition(
            f"`collection` must have codes of version {_VERSION}, but has {version}: open it with "
            "the version that wrote it"
        )
    return recipe


class Coder:
    """Makes the codes of one recording whose states come in pieces; holds them and one code's rest.

    The codes do not depend on the pieces, but for rounding.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._rest: Floats | None = None
        self._codes: list[Codes] = []

    def push(self, states: Floats) -> None:
        """Take the next states (T, D)."""
        if self._rest is not None:
            states = np.concatenate([self._rest, states])
        whole = len(states) // self._recipe.width * self._recipe.width
        if whole:
            self._codes.append(self._recipe(states[:whole]))
        self._rest = states[whole:].copy()

    def finish(self) -> Codes:
        """All codes (N, d); call it once."""
        if self._rest is not None and len(self._rest):
            self._codes.append(self._recipe(self._rest))
        return np.concatenate([np.zeros((0, self._recipe.dim), np.int8), *self._codes])


def rounded(vectors: NDArray[np.floating]) -> Codes:
    """Vectors (N, d) as codes: each scaled so that its largest number is 127, and rounded."""
    peaks = np.abs(vectors).max(axis=1, keepdims=True)
    codes: Codes = np.rint(vectors * (PEAK / np.maximum(peaks, _FLOOR))).astype(np.int8)
    return codes


def units(codes: Codes) -> Floats:
    """Codes (N, d) at Euclidean length 1; one of zeros, which nothing is like, stays as it is."""
    plain = codes.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", plain, plain))[:, None]
    result: Floats = plain / np.maximum(lengths, 1.0)
    return result


def fit(space: str, layer: int, states: Sequence[Floats]) -> Recipe:
    """A recipe for the states (T, D) of a few utterances."""
    raise NotImplementedError
