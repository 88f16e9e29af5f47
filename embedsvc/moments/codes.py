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

WIDTH = 4
"""Frames in a code: 12.5 codes a second. See docs/moments.md for what this and the next cost."""

REACH_SECONDS = 0.75
"""How far on either side the mean is taken that is taken away from a code."""

REACH = round(REACH_SECONDS * FRAME_RATE / WIDTH)
DIM = 64

_VERSION = 1
_FLOOR = 1e-6


@dataclass(frozen=True)
class Recipe:
    """How `width` frames of a `layer` become a code, in the space of frames `space`.

    Their mean (D,) is taken through `matrix` (D, d). From what comes out the mean of the codes
    around is taken away, `reach` of them on either side: what does not change within a few seconds
    is who speaks, over which line and between which words, and not what is said at the moment.
    Codes are compared by cosine, so that their length does not matter.
    """

    space: str
    layer: int
    width: int
    reach: int
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

    def to_bytes(self) -> bytes:
        """The recipe as a collection keeps it: a line of JSON, then `matrix`."""
        head = {
            "version": _VERSION,
            "space": self.space,
            "layer": self.layer,
            "width": self.width,
            "reach": self.reach,
            "shape": self.matrix.shape,
        }
        return json.dumps(head).encode() + b"\n" + self.matrix.astype("<f4").tobytes()


def recipe_of(data: bytes) -> Recipe:
    """A recipe from what `to_bytes` made; raises DataLoss for anything else."""
    head, _, body = data.partition(b"\n")
    try:
        known = json.loads(head)
        version = known["version"]
        matrix = np.frombuffer(body, "<f4").astype(np.float32).reshape(known["shape"])
        recipe = Recipe(known["space"], known["layer"], known["width"], known["reach"], matrix)
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss("`collection` must have a readable recipe of its codes") from error
    if version != _VERSION:
        raise FailedPrecondition(
            f"`collection` must have codes of version {_VERSION}, but has {version}: open it with "
            "the version that wrote it"
        )
    return recipe


class Coder:
    """Makes the codes of one recording whose states come in pieces.

    Holds them, and of the states those of a few seconds. Codes do not depend on the pieces, but
    for rounding.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._rest = np.zeros((0, len(recipe.matrix)), np.float32)
        self._held = np.zeros((0, recipe.dim))
        self._first = 0  # the place of the first that is held
        self._codes = [np.zeros((0, recipe.dim), np.int8)]
        self._done = 0

    def push(self, states: Floats) -> None:
        """Take the next states (T, D)."""
        states = np.concatenate([self._rest, states])
        whole = len(states) // self._recipe.width * self._recipe.width
        self._rest = states[whole:].copy()
        self._take(states[:whole])
        self._emit(self._first + len(self._held) - self._recipe.reach)

    def finish(self) -> Codes:
        """All codes (N, d); call it once. The last may be of fewer frames."""
        self._take(self._rest)
        self._emit(self._first + len(self._held))
        return np.concatenate(self._codes)

    def _take(self, states: Floats) -> None:
        if len(states):
            means = pooled(states, self._recipe.width)
            self._held = np.concatenate([self._held, means @ self._recipe.matrix])

    def _emit(self, end: int) -> None:
        """Make the codes before `end`, of whose surroundings all is held."""
        if end <= self._done:
            return
        reach = self._recipe.reach
        left = _less_around(self._held, reach, self._done - self._first, end - self._first)
        self._codes.append(rounded(left))
        self._done = end
        keep = max(0, end - reach) - self._first
        self._held, self._first = self._held[keep:], self._first + keep


def pooled(states: Floats, width: int) -> NDArray[np.float64]:
    """Means (N, D) of `width` states (T, D) each; the last may be of fewer."""
    starts = np.arange(0, len(states), width)
    counts = np.minimum(width, len(states) - starts)[:, None]
    means: NDArray[np.float64] = np.add.reduceat(states, starts, axis=0, dtype=np.float64) / counts
    return means


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
    """A recipe for the states (T, D) of a few utterances in many languages.

    Each dimension is divided by its deviation, and the 64 directions of the largest variance are
    kept, of what is left when the mean of what is around is taken away.
    """
    means = [pooled(each, WIDTH) for each in states]
    deviation = np.concatenate(means).std(axis=0) + _FLOOR
    local = np.concatenate([less_around(each / deviation, REACH) for each in means])
    _, vectors = np.linalg.eigh(local.T @ local)
    kept = vectors[:, ::-1][:, :DIM]
    # The sign of an eigenvector is the library's choice.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    return Recipe(space, layer, WIDTH, REACH, (kept / deviation[:, None]).astype(np.float32))


def less_around(vectors: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Vectors (N, d) less the mean of each with `reach` on either side, or as many as there are."""
    return _less_around(vectors, reach, 0, len(vectors))


def _less_around(
    vectors: NDArray[np.float64], reach: int, start: int, end: int
) -> NDArray[np.float64]:
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), vectors.cumsum(axis=0)])
    places = np.arange(start, end)
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(vectors))
    means: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)[:, None]
    return vectors[start:end] - means
