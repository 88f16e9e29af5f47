"""How near an exported model comes to its source."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from embedsvc.encoder.model import Encoder
from embedsvc.encoder.precision import Fidelity, fidelity
from embedsvc.types import Ask, Floats, Frames, Precision

EXACT = 1e-4
"""Largest difference of an exact export, in shares of the largest value of its layer."""


@dataclass(frozen=True)
class Parity:
    """Hidden states of one layer, beside those of the source.

    `largest` is the largest difference in any dimension of any frame, `scale` the largest value.
    """

    layer: int
    largest: float
    scale: float
    least_cosine: float
    mean_cosine: float


@dataclass(frozen=True)
class Quality:
    """What decides whether an export is kept: each layer, and vectors as they are served."""

    precision: Precision
    layers: tuple[Parity, ...]
    fidelity: Fidelity

    @property
    def is_enough(self) -> bool:
        """Whether it may be served: as near as any precision, and an exact one far nearer."""
        exact = all(each.largest <= EXACT * each.scale for each in self.layers)
        return self.fidelity.is_enough and (exact or self.precision is not Precision.FP32)

    def document(self) -> dict[str, Any]:
        """Every figure, for a file."""
        return asdict(self) | {"is_enough": self.is_enough}


def compare(source: Encoder, made: Encoder, probe: Sequence[Frames]) -> Quality:
    """Quality of `made`, an export of `source`, on the utterances of `probe`."""
    layers = tuple(made.available)
    asks = [Ask(layers, (0, len(frames))) for frames in probe]
    # One by one: the states of every layer are many.
    pairs = [
        (source.encode([frames], [ask])[0].frames, made.encode([frames], [ask])[0].frames)
        for frames, ask in zip(probe, asks, strict=True)
    ]
    parities = tuple(
        _parity(
            layer,
            *(np.concatenate([each[layer] for each in side]) for side in zip(*pairs, strict=True)),
        )
        for layer in layers
    )
    last = {"layers": layers[-1], "defaults": made.defaults}
    vectors = fidelity(replace(source, **last), replace(made, **last), probe)
    return Quality(made.precision, parities, vectors)


def _parity(layer: int, expected: Floats, found: Floats) -> Parity:
    """States (N, D) of all utterances together."""
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (expected * found).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return Parity(
        layer=layer,
        largest=float(np.abs(expected - found).max()),
        scale=float(np.abs(expected).max()),
        least_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
    )
