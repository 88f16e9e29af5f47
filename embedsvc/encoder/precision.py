"""Smaller numbers, where an encoder is faster with them and gives nearly the same vectors.

A reduced precision serves only after it was compared with float32 on speech, by the very weights
that were loaded: what rounding does to a model depends on its outliers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from embedsvc.encoder.model import Encoder, Plan
from embedsvc.encoder.pooling import normalize
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Precision, Windowing

REDUCED = (Precision.BF16, Precision.INT8)

ROUNDS = 3
TIMED = 4
"""Utterances that are timed: about ten seconds, of which a large model takes long enough."""

LEAST_GAIN = 1.1
"""A precision that gains less is not worth any difference."""


@dataclass(frozen=True)
class Judge:
    """What stands on vectors, such as a classifier of languages.

    `answers` makes probabilities (N, C) of vectors (N, D), those of `plans` side by side.
    """

    plans: tuple[Plan, ...]
    answers: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Fidelity:
    """How near vectors come to those of float32.

    The first three are cosines: 1 is the same direction. `most_score` is the largest change of the
    score, also a cosine, that a search gives two utterances, and `same_nearest` the share of them
    that find the same one first. `same_answers` is the share of utterances of which a judge says
    the same, the least of all `judges`, and `most_probability` the largest change of what they say.
    """

    least_frame: float
    mean_frame: float
    least_pooled: float
    most_score: float
    same_nearest: float
    same_answers: float = 1.0
    most_probability: float = 0.0
    judges: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether to serve with it."""
        return (
            self.least_frame >= ENOUGH.least_frame
            and self.mean_frame >= ENOUGH.mean_frame
            and self.least_pooled >= ENOUGH.least_pooled
            and self.most_score <= ENOUGH.most_score
            and self.same_nearest >= ENOUGH.same_nearest
            and self.same_answers >= ENOUGH.same_answers
            and self.most_probability <= ENOUGH.most_probability
        )

    def __str__(self) -> str:
        told = (
            f"cosines to fp32: frames at least {self.least_frame:.5f}, on average "
            f"{self.mean_frame:.5f}, pooled at least {self.least_pooled:.5f}; scores change by at "
            f"most {self.most_score:.4f}, the nearest is the same for {self.same_nearest:.0%}"
        )
        if not self.judges:
            return told
        return (
            f"{told}; probes of the model ({self.judges}) answer the same for at least "
            f"{self.same_answers:.0%}, with probabilities up to {self.most_probability:.3f} apart"
        )


ENOUGH = Fidelity(
    least_frame=0.99,
    mean_frame=0.999,
    least_pooled=0.9995,
    most_score=0.02,
    same_nearest=0.8,
    same_answers=0.9,
    most_probability=0.1,
)
"""What `mini` passes with room to spare while its figures stay the same (see docs/engine.md)."""


@dataclass(frozen=True)
class _Outputs:
    """Last states (T, D) of each utterance, default vectors (N, D), and what each judge says."""

    frames: Sequence[Floats]
    vectors: Floats
    answers: Sequence[Floats]


def in_precision(
    encoder: Encoder,
    precision: Precision,
    probe: Sequence[Frames],
    judges: Sequence[Judge] = (),
) -> Encoder:
    """The float32 `encoder` in a precision, tried on the utterances of `probe` before `judges`.

    Raises `FailedPrecondition` for one that was asked for by name and is not near enough, or not
    for this model.
    """
    if precision is Precision.FP32:
        return encoder
    if precision is Precision.AUTO:
        return _fastest(encoder, probe, judges)
    reduced = encoder.at(precision)
    found = fidelity(encoder, reduced, probe, judges)
    if not found.is_enough:
        raise FailedPrecondition(
            f"`precision` {precision} changes the vectors of {encoder.name} too much: {found}",
            field="precision",
        )
    return replace(reduced, why=f"asked for; {found}")


def _fastest(encoder: Encoder, probe: Sequence[Frames], judges: Sequence[Judge]) -> Encoder:
    """The precision that is near enough and gains most; float32 where none gains much."""
    best, most, remarks = encoder, LEAST_GAIN, []
    expected = _outputs(encoder, probe, judges)
    for precision in REDUCED:
        try:
            reduced = encoder.at(precision)
        except FailedPrecondition as error:
            remarks.append(error.message)
            continue
        found = _nearness(expected, _outputs(reduced, probe, judges))
        if not found.is_enough:
            remarks.append(f"{precision} changes too much ({found})")
            continue
        gain = _gain(encoder, reduced, probe[:TIMED])
        remarks.append(f"{precision} is {gain:.1f} times as fast as fp32 here ({found})")
        if gain > most:
            best, most = reduced, gain
    return replace(best, why=", ".join(remarks))


def fidelity(
    exact: Encoder, reduced: Encoder, probe: Sequence[Frames], judges: Sequence[Judge] = ()
) -> Fidelity:
    """How near `reduced` comes to `exact`, at the last layer, in default vectors, and to judges."""
    return _nearness(_outputs(exact, probe, judges), _outputs(reduced, probe, judges))


def _nearness(expected: _Outputs, found: _Outputs) -> Fidelity:
    pairs = zip(expected.frames, found.frames, strict=True)
    frames = np.concatenate([_cosines(*pair) for pair in pairs])
    pooled = _cosines(expected.vectors, found.vectors)
    first, second = _scores(expected.vectors), _scores(found.vectors)
    said = list(zip(expected.answers, found.answers, strict=True))
    return Fidelity(
        least_frame=float(frames.min()),
        mean_frame=float(frames.mean()),
        least_pooled=float(pooled.min()),
        most_score=float(np.abs(first - second).max()),
        same_nearest=float(np.mean(_nearest(first) == _nearest(second))),
        same_answers=min((_same(*pair) for pair in said), default=1.0),
        most_probability=max((float(np.abs(one - two).max()) for one, two in said), default=0.0),
        judges=len(said),
    )


def _outputs(encoder: Encoder, probe: Sequence[Frames], judges: Sequence[Judge]) -> _Outputs:
    own = encoder.plan(OutputSpec(), Windowing())
    plans = [own, *(plan for judge in judges for plan in judge.plans)]
    layers = tuple({encoder.layers, *(plan.layer for plan in plans)})
    wholes = [(0, len(frames)) for frames in probe]
    answers = encoder.encode(probe, [Ask(layers, whole, (whole,)) for whole in wholes])

    def vectors(plan: Plan) -> Floats:
        return np.stack([encoder.finish(plan, each.moments[plan.layer][0]) for each in answers])

    return _Outputs(
        frames=[answer.frames[encoder.layers] for answer in answers],
        vectors=vectors(own),
        answers=[
            judge.answers(np.concatenate([vectors(plan) for plan in judge.plans], axis=1))
            for judge in judges
        ],
    )


def _nearest(scores: Floats) -> NDArray[np.intp]:
    """Which other utterance each is most like, of scores (N, N): (N,)."""
    others = scores - 4.0 * np.eye(len(scores), dtype=np.float32)
    found: NDArray[np.intp] = others.argmax(axis=1)
    return found


def _same(first: Floats, second: Floats) -> float:
    """Share of the rows (N, C) whose largest value stays where it is."""
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


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
