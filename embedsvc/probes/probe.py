"""A trained probe: vectors in, what they are out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes.evidence import belonging, distances, gathered, products, ranks
from embedsvc.probes.numbers import LARGEST, MOST_DEVIATIONS, Numbers
from embedsvc.probes.scores import probabilities
from embedsvc.types import (
    Classification,
    Evidence,
    Floats,
    LabelScore,
    ProbeInfo,
    ProbeTask,
    UnknownReason,
)

Doubles = NDArray[np.float64]

_ROWS, _CELLS = 4096, 1 << 18
"""Vectors that are classified at a time, and scores of labels, to bound memory."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a probe says of n vectors: `logits` and `probabilities` are (n, C).

    `evidence` is logit, energy and nearness (n, 3), `ranks` the share of training speech with less
    of each, and `belonging` (n,) what they come to.
    """

    logits: Floats
    probabilities: Doubles
    evidence: Doubles
    ranks: Doubles
    belonging: Doubles


@dataclass(frozen=True, eq=False)
class Probe:
    """Classifies vectors; never changes, and may be called from any thread."""

    info: ProbeInfo
    numbers: Numbers

    def __call__(
        self, vectors: Floats, speech_seconds: Sequence[float] | None = None
    ) -> list[Classification]:
        """What each of `vectors` (n, D) is, as `each` tells it."""
        return list(self.each(vectors, speech_seconds))

    def each(
        self,
        vectors: Floats,
        speech_seconds: Sequence[float] | None = None,
        top: int | None = None,
    ) -> Iterator[Classification]:
        """What each of `vectors` (n, D) is; those of several spaces stand side by side.

        `speech_seconds` is how much speech each was made from, None for enough. Scores are of the
        `top` labels, or of all. Raises TensorShape for another width or numbers that are not
        finite, InvalidArgument for another count.
        """
        rows = self._checked(vectors)
        if speech_seconds is not None and len(speech_seconds) != len(rows):
            raise InvalidArgument(
                f"`speech_seconds` must have one number for each of {len(rows)} vectors, "
                f"but has {len(speech_seconds)}",
                field="speech_seconds",
            )
        seconds = [np.inf] * len(rows) if speech_seconds is None else list(speech_seconds)
        step = max(1, min(_ROWS, _CELLS // max(1, len(self.info.labels))))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            yield from self._answers(rows[part], seconds[part], top)

    def renamed(self, name: str, version: int) -> "Probe":
        """The same probe under another name and version; its digest stays."""
        return Probe(replace(self.info, name=name, version=version), self.numbers)

    def moved(self, vectors: Floats) -> Floats:
        """The vectors z (n, d) that are scored and compared, of vectors (n, D)."""
        numbers = self.numbers
        with np.errstate(over="ignore"):
            scaled: Floats = (vectors - numbers.mean) * numbers.scale
        np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)
        count = len(numbers.mix)
        if count == 1:
            return scaled
        parts = scaled.reshape(len(vectors), count, -1)
        mixed: Floats = np.einsum("nld,l->nd", parts, numbers.mix)
        return mixed

    def logits(self, vectors: Floats) -> Floats:
        """Raw scores (n, C) of vectors (n, D); of a regression its value (n, 1)."""
        return products(self.moved(vectors), self._rows) + self.numbers.bias

    def told(self, vectors: Floats) -> "Told":
        """Everything that is said of vectors (n, D), as arrays."""
        logits = self.logits(vectors)
        scores = np.zeros_like(logits) if self._is_regression else logits
        evidence = gathered(scores, distances(vectors, self._references))
        ranked = ranks(evidence, self.numbers.evidence)
        return Told(
            logits=logits,
            probabilities=probabilities(logits, self.numbers, self.info.task),
            evidence=evidence,
            ranks=ranked,
            belonging=belonging(ranked, self.numbers),
        )

    def in_set(self, told: Doubles) -> NDArray[np.bool_]:
        """Which labels of probabilities (n, C) are in the prediction set, (n, C)."""
        inside: NDArray[np.bool_] = told >= self.numbers.least
        if self.info.task is ProbeTask.SINGLE_LABEL:
            inside[np.arange(len(told)), told.argmax(axis=1)] = True
        return inside

    def is_unknown(self, belonging: Doubles) -> NDArray[np.bool_]:
        """Which of (n,) have too little evidence to be answered."""
        unknown: NDArray[np.bool_] = belonging < self.numbers.refused[0]
        return unknown

    @property
    def _is_regression(self) -> bool:
        return self.info.task is ProbeTask.REGRESSION

    @cached_property
    def _rows(self) -> Floats:
        return np.ascontiguousarray(self.numbers.weights.T)

    @cached_property
    def _references(self) -> Floats:
        return self.numbers.references.astype(np.float32)

    def _checked(self, vectors: Floats) -> Floats:
        rows = np.asarray(vectors, np.float32)
        width = len(self.numbers.mean)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise TensorShape(
                f"`vectors` must be [n, {width}], the dimensions of probe `{self.info.name}`, "
                f"but is {list(rows.shape)}",
                field="vectors",
            )
        if not np.isfinite(rows).all():
            raise TensorShape("`vectors` must be finite, but has NaN or infinity", field="vectors")
        return np.clip(rows, -LARGEST, LARGEST)

    def _answers(
        self, vectors: Floats, seconds: Sequence[float], top: int | None
    ) -> Iterator[Classification]:
        told = self.told(vectors)
        says = [
            Evidence(top, energy, 1 - near, share)
            for (top, energy, near), share in zip(
                told.evidence.tolist(), told.belonging.tolist(), strict=True
            )
        ]
        refused = self.is_unknown(told.belonging).tolist()
        is_far = (told.ranks[:, 2] <= told.ranks.min(axis=1)).tolist()
        unknown = [self._unknown(*row) for row in zip(refused, is_far, seconds, strict=True)]
        if self._is_regression:
            yield from self._values(told.logits[:, 0], says, unknown)
        else:
            yield from self._labels(told.probabilities, says, unknown, top)

    def _unknown(self, refused: bool, is_far: bool, seconds: float) -> UnknownReason | None:
        """Why there is no answer; digital silence has 0 s of speech, and never has one."""
        if not (seconds > 0 and seconds >= self.info.min_speech_seconds):
            return UnknownReason.TOO_SHORT
        if not refused:
            return None
        return UnknownReason.FAR if is_far else UnknownReason.LITTLE_EVIDENCE

    def _values(
        self,
        values: Floats,
        says: Sequence[Evidence],
        unknown: Sequence[UnknownReason | None],
    ) -> list[Classification]:
        half = float(self.numbers.least[0])
        return [
            Classification((), (), (), evidence, why, value, (value - half, value + half))
            for value, evidence, why in zip(values.tolist(), says, unknown, strict=True)
        ]

    def _labels(
        self,
        told: Doubles,
        says: Sequence[Evidence],
        unknown: Sequence[UnknownReason | None],
        top: int | None,
    ) -> Iterator[Classification]:
        ranked = np.argsort(-told, axis=1, kind="stable")
        in_set = self.in_set(told)
        if self.info.task is ProbeTask.SINGLE_LABEL:
            answer = np.zeros_like(in_set)
            answer[np.arange(len(told)), ranked[:, 0]] = True
        else:
            answer = told >= self.numbers.answers
        for row in zip(told, ranked, answer, in_set, says, unknown, strict=True):
            yield self._one(*row, top=top)

    def _one(
        self,
        told: Doubles,
        ranked: NDArray[np.intp],
        answer: NDArray[np.bool_],
        in_set: NDArray[np.bool_],
        says: Evidence,
        unknown: UnknownReason | None,
        *,
        top: int | None,
    ) -> Classification:
        names = self.info.labels
        best = ranked[:top]
        scores = zip(best.tolist(), told[best].tolist(), strict=True)
        return Classification(
            labels=() if unknown else tuple(names[at] for at in ranked[answer[ranked]].tolist()),
            scores=tuple(LabelScore(names[at], score) for at, score in scores),
            prediction_set=tuple(names[at] for at in ranked[in_set[ranked]].tolist()),
            evidence=says,
            unknown=unknown,
        )
