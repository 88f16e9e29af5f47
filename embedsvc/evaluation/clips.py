"""Clips as numbers: what one pass of the encoder leaves of each, beside its row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.speech import Row
from embedsvc.types import Floats

DEFAULT = "default"
MFCC = "mfcc"
MFCC_DELTA = "mfcc_delta"
LAYER = "layer"

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Clips:
    """n clips: `states` (n, K, 2D) are mean and standard deviation over time of K `layers`.

    `default` (n, d) are vectors of the model's own space, `cepstra` (n, 80) the baseline, `phones`
    the labels that a phone head heard, without repeats and silence.
    """

    rows: tuple[Row, ...]
    layers: tuple[int, ...]
    states: Floats
    default: Floats
    cepstra: Floats
    phones: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, wanted: Callable[[Row], bool]) -> "Clips":
        """Those whose row is wanted."""
        return self.take([place for place, row in enumerate(self.rows) if wanted(row)])

    def take(self, places: Sequence[int]) -> "Clips":
        """Those at `places`, in that order."""
        chosen = np.asarray(places, np.intp)
        return Clips(
            rows=tuple(self.rows[place] for place in places),
            layers=self.layers,
            states=self.states[chosen],
            default=self.default[chosen],
            cepstra=self.cepstra[chosen],
            phones=tuple(self.phones[place] for place in places),
        )

    def features(self) -> dict[str, Floats]:
        """Every kind of vector there is, by name: layers, the default space and the baselines."""
        named = {f"{LAYER} {layer}": self.states[:, at] for at, layer in enumerate(self.layers)}
        half = self.cepstra.shape[1] // 2
        return {
            **named,
            DEFAULT: self.default,
            MFCC: self.cepstra[:, :half],
            MFCC_DELTA: self.cepstra,
        }

    def column(self, value: Callable[[Row], str]) -> Texts:
        """A value of each row (n,)."""
        return np.array([value(row) for row in self.rows], dtype=np.str_)

    @property
    def languages(self) -> Texts:
        """Language of each (n,), without regions."""
        return self.column(lambda row: row.language)
