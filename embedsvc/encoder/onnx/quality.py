"""How near an exported model comes to its source."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from embedsvc.encoder.model import Encoder
from embedsvc.encoder.precision import ENOUGH, Fidelity, fidelity
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Precision, Windowing

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
        """Whether it may be served: as near as any precision must be, an exact one far nearer."""
        near = self.fidelity.is_enough and all(
            each.least_cosine >= ENOUGH.least_frame and each.mean_cosine >= ENOUGH.mean_frame
            for each in self.layers
        )
        exact = all(each.largest <= EXACT * each.scale for each in self.layers)
        return near and (exact or self.precision is not Precision.FP32)

    def document(self) -> dict[str, Any]:
        """Every figure, for a file."""
        return asdict(self) | {"is_enough": self.is_enough}


def compare(source: Encoder, made: Encoder, probe: Sequence[Frames]) -> Quality:
    """Quality of `made`, an export of `source`, on the utterances of `probe`."""
    layers = tuple(made.available)
    asks = [Ask(layers, (0, len(frames))) for frames in probe]
    expected, found = (
        [answer.frames for answer in encoder.encode(probe, asks)] for encoder in (source, made)
    )
    parities = tuple(
        _parity(
            layer,
            np.concatenate([frames[layer] for frames in expected]),
            np.concatenate([frames[layer] for frames in found]),
        )
        for layer in layers
    )
    # The source as if it ended where the export does, and left the same open.
    source, made = (
        replace(encoder, layers=layers[-1], defaults=made.defaults) for encoder in (source, made)
    )
    return Quality(made.precision, parities, fidelity(source, made, probe))


def default_vector(encoder: Encoder, frames: Frames) -> Floats:
    """Vector of an utterance for who leaves everything open."""
    plan = encoder.plan(OutputSpec(), Windowing())
    ask = Ask((plan.layer,), runs=((0, len(frames)),))
    return encoder.finish(plan, encoder.encode([frames], [ask])[0].moments[plan.layer][0])


def check_here(encoder: Encoder, frames: Frames, expected: Sequence[float]) -> None:
    """Raise `FailedPrecondition` unless this machine gives nearly the `expected` default vector.

    Processors without instructions for sums of 8-bit products cut off large ones on the way.
    """
    found = default_vector(encoder, frames)
    cosine = float(found @ np.array(expected, np.float32)) if len(found) == len(expected) else 0.0
    if not cosine >= ENOUGH.least_pooled:
        raise FailedPrecondition(
            f"`model` {encoder.name} must give the vectors it was exported with, but does not on "
            f"this machine: a cosine of {cosine:.5f}, of at least {ENOUGH.least_pooled}",
            field="model",
        )


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
