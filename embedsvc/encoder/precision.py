"""Smaller numbers, where an encoder is faster with them and gives nearly the same vectors.

A reduced precision serves only after it was compared with float32 on speech, by the very weights
that were loaded: what rounding does to a model depends on its outliers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from embedsvc.encoder.model import Encoder
from embedsvc.encoder.pooling import normalize
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Precision, Windowing

REDUCED = (Precision.BF16, Precision.INT8)
Outputs = tuple[list[Floats], list[Floats]]

ROUNDS = 3
TIMED = 4
"""Utterances that are timed: about ten seconds, of which a large model takes long enough."""

LEAST_GAIN = 1.1
"""A precision that gains less is not worth any difference."""


@dataclass(frozen=True)
class Fidelity:
    """How near vectors come to those of float32.

    The first three are cosines: 1 is the same direction. `most_score` is the largest change of the
    score, also a cosine, that a search gives two utterances.
    """

    least_frame: float
    mean_frame: float
    least_pooled: float
    most_score: float

    @property
    def is_enough(self) -> bool:
        """Whether to serve with it."""
        return (
            self.least_frame >= ENOUGH.least_frame
            and self.mean_frame >= ENOUGH.mean_frame
            and self.least_pooled >= ENOUGH.least_pooled
            and self.most_score <= ENOUGH.most_score
        )

    def __str__(self) -> str:
        return (
            f"cosines to fp32: frames at least {self.least_frame:.5f}, on average "
            f"{self.mean_frame:.5f}, pooled at least {self.least_pooled:.5f}; scores change by at "
            f"most {self.most_score:.4f}"
        )


ENOUGH = Fidelity(least_frame=0.99, mean_frame=0.999, least_pooled=0.9995, most_score=0.02)
"""What `mini` passes with room to spare while its figures stay the same (see its card)."""


def in_precision(encoder: Encoder, precision: Precision, probe: Sequence[Frames]) -> Encoder:
    """The float32 `encoder` in a precision, tried on the utterances of `probe`.

    Raises `FailedPrecondition` for one that was asked for by name and is not near enough, or not
    for this model.
    """
    if precision is Precision.FP32:
        return encoder
    if precision is Precision.AUTO:
        return _fastest(encoder, probe)
    reduced = encoder.at(precision)
    found = fidelity(encoder, reduced, probe)
    if not found.is_enough:
        raise FailedPrecondition(
            f"`precision` {precision} changes the vectors of {encoder.name} too much: {found}",
            field="precision",
        )
    return replace(reduced, why=f"asked for; {found}")


def _fastest(encoder: Encoder, probe: Sequence[Frames]) -> Encoder:
    """The precision that is near enough and gains most; float32 where none gains much."""
    best, most, remarks = encoder, LEAST_GAIN, []
    expected = _outputs(encoder, probe)
    for precision in REDUCED:
        try:
            reduced = encoder.at(precision)
        except FailedPrecondition as error:
            remarks.append(error.message)
            continue
        found = _nearness(expected, _outputs(reduced, probe))
        if not found.is_enough:
            remarks.append(f"{precision} changes too much ({found})")
            continue
        gain = _gain(encoder, reduced, probe[:TIMED])
        remarks.append(f"{precision} is {gain:.1f} times as fast as fp32 here ({found})")
        if gain > most:
            best, most = reduced, gain
    return replace(best, why=", ".join(remarks))


def fidelity(exact: Encoder, reduced: Encoder, probe: Sequence[Frames]) -> Fidelity:
    """How near `reduced` comes to `exact`, at the last layer and in default vectors."""
    return _nearness(_outputs(exact, probe), _outputs(reduced, probe))


def _nearness(expected: Outputs, found: Outputs) -> Fidelity:
    frames = np.concatenate([_cosines(*pair) for pair in zip(expected[0], found[0], strict=True)])
    first, second = np.stack(expected[1]), np.stack(found[1])
    pooled = _cosines(first, second)
    return Fidelity(
        least_frame=float(frames.min()),
        mean_frame=float(frames.mean()),
        least_pooled=float(pooled.min()),
        most_score=float(np.abs(_scores(first) - _scores(second)).max()),
    )


def _outputs(encoder: Encoder, probe: Sequence[Frames]) -> Outputs:
    """Last states (T, D) and default vector (D,) of each utterance."""
    plan = encoder.plan(OutputSpec(), Windowing())
    layers = tuple({plan.layer, encoder.layers})
    wholes = [(0, len(frames)) for frames in probe]
    answers = encoder.encode(probe, [Ask(layers, whole, (whole,)) for whole in wholes])
    return (
        [answer.frames[encoder.layers] for answer in answers],
        [encoder.finish(plan, answer.moments[plan.layer][0]) for answer in answers],
    )


def _cosines(first: Floats, second: Floats) -> Floats:
    """Of the rows (N, D): (N,)."""
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosines: Floats = (first * second).sum(axis=-1) / np.maximum(lengths, 1e-9)
    return cosines


def _scores(vectors: Floats) -> Floats:
    """Cosines of all pairs of the rows (N, D): (N, N)."""
    units = normalize(vectors)
    scores: Floats = units @ units.T
    return scores


def _gain(exact: Encoder, reduced: Encoder, probe: Sequence[Frames]) -> float:
    """How many times as fast `reduced` is, by turns."""
    asks = [Ask((exact.layers,), None, ((0, len(frames)),)) for frames in probe]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for encoder, taken in zip((exact, reduced), times, strict=True):
            started = time.perf_counter()
            encoder.encode(probe, asks)
            taken.append(time.perf_counter() - started)
    return median(times[0]) / median(times[1])
