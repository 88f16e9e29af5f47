"""What a probe answered, measured: how often it is right, and whether it knows when it is not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.probes import accuracy, macro_f1, unweighted_accuracy
from embedsvc.probes.figures import calibration_error
from embedsvc.types import Classification, Floats, UnknownReason

LENGTHS = ((0.0, 1.5), (1.5, 3.0), (3.0, 6.0), (6.0, float("inf")))
"""Seconds from and below which clips are reported apart."""

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Parts of the clips, the surest first, whose accuracy is reported."""

UNKNOWN = "unknown"

Texts = NDArray[np.str_]
Truths = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a probe of `labels` told of n clips, whose truth (n,) may be none of them.

    `raw` (n, C) are its probabilities before calibration, in the order of `labels`; `cepstra` (n,)
    is what a probe on mean cepstra told. Either may be missing.
    """

    labels: tuple[str, ...]
    alpha: float
    truth: Texts
    seconds: Floats
    told: tuple[Classification, ...]
    raw: Doubles | None = None
    cepstra: Texts | None = None

    def __len__(self) -> int:
        return len(self.told)

    def where(self, wanted: Truths) -> "Answers":
        """Those of the clips (n,) that are wanted."""
        return Answers(
            self.labels,
            self.alpha,
            self.truth[wanted],
            self.seconds[wanted],
            tuple(each for each, mine in zip(self.told, wanted, strict=True) if mine),
            None if self.raw is None else self.raw[wanted],
            None if self.cepstra is None else self.cepstra[wanted],
        )

    @property
    def known(self) -> "Answers":
        """The clips whose truth the probe has a label for."""
        return self.where(np.isin(self.truth, self.labels))

    @property
    def left_out(self) -> "Answers":
        """The clips whose truth it has no label for: all of these should be unknown."""
        return self.where(~np.isin(self.truth, self.labels))

    @property
    def first(self) -> Texts:
        """The likeliest label of each (n,), also where the answer is unknown."""
        return np.array([each.scores[0].label for each in self.told], np.str_)

    @property
    def answered(self) -> Truths:
        """Where it commits itself (n,)."""
        return np.array([each.unknown is None for each in self.told], np.bool_)

    @property
    def sureness(self) -> Doubles:
        """Probability of the likeliest label (n,)."""
        return np.array([each.scores[0].probability for each in self.told], np.float64)

    @property
    def right(self) -> Truths:
        """Where the likeliest label is the truth (n,)."""
        found: Truths = self.first == self.truth
        return found

    def among(self, possible: Sequence[str]) -> Texts:
        """The likeliest of the `possible` labels for each (n,)."""
        allowed = frozenset(possible)
        return np.array(
            [next(s.label for s in each.scores if s.label in allowed) for each in self.told],
            np.str_,
        )


def figures(answers: Answers) -> dict[str, float]:
    """Figures of clips whose truth has a label; {} when there is none."""
    known = answers.known
    if not len(known):
        return {}
    truth, first, answered, right = known.truth, known.first, known.answered, known.right
    present = np.unique(truth).tolist()
    found = {
        "clips": float(len(known)),
        "labels": float(len(known.labels)),
        "chance": 1 / len(known.labels),
        "majority": max(Counter(truth.tolist()).values()) / len(known),
        "accuracy": accuracy(truth, first),
        "unweighted_accuracy": unweighted_accuracy(truth, first),
        "macro_f1": macro_f1(truth, first),
        "labels_present": float(len(present)),
        "chance_among_present": 1 / len(present),
        "accuracy_among_present": accuracy(truth, known.among(present)),
        "unweighted_accuracy_among_present": unweighted_accuracy(truth, known.among(present)),
        "ece": calibration_error(known.sureness, right, equal_mass=True),
        "ece_equal_width": calibration_error(known.sureness, right, equal_mass=False),
        "coverage": float(np.mean([t in e.prediction_set for t, e in _pairs(known)])),
        "coverage_target": 1 - known.alpha,
        "mean_set": float(np.mean([len(each.prediction_set) for each in known.told])),
        "false_unknowns": float(np.mean(~answered)),
        "false_unknowns_of_enough_speech": _refused(known.told),
        "answered_right": float(np.mean(answered & right)),
    }
    if answered.any():
        found["accuracy_answered"] = float(right[answered].mean())
    if known.raw is not None:
        told = np.array(known.labels, np.str_)[known.raw.argmax(axis=1)]
        found["ece_before"] = calibration_error(
            known.raw.max(axis=1), told == truth, equal_mass=True
        )
    if known.cepstra is not None:
        found["mfcc_accuracy"] = accuracy(truth, known.cepstra)
        found["mfcc_unweighted_accuracy"] = unweighted_accuracy(truth, known.cepstra)
    return found


def by_length(answers: Answers) -> Iterator[tuple[str, dict[str, float]]]:
    """Figures of the clips of each length, with its name."""
    for least, most in LENGTHS:
        part = answers.where((answers.seconds >= least) & (answers.seconds < most))
        if found := figures(part):
            yield length_name(least, most), found


def length_name(least: float, most: float) -> str:
    """What clips from `least` and below `most` seconds are called.

    >>> length_name(0.0, 1.5), length_name(6.0, float("inf"))
    ('0-1.5 s', 'over 6 s')
    """
    return f"{least:g}-{most:g} s" if np.isfinite(most) else f"over {least:g} s"


def by_label(answers: Answers) -> Iterator[dict[str, float | str]]:
    """Clips of each label that is there, and how many were named rightly."""
    known = answers.known
    answered, right, first = known.answered, known.right, known.first
    for label in np.unique(known.truth).tolist():
        mine = known.truth == label
        told = int(np.sum(first == label))
        hits = int(np.sum(mine & right))
        yield {
            "label": label,
            "clips": int(mine.sum()),
            "right": hits,
            "answered": int(np.sum(mine & answered)),
            "answered_right": int(np.sum(mine & answered & right)),
            "told": told,
            "recall": hits / int(mine.sum()),
            "precision": hits / told if told else 0.0,
        }


def selective(answers: Answers) -> list[dict[str, float]]:
    """Accuracy of the surest clips, for each of `SHARES`: 1 is all, `unknown` or not."""
    known = answers.known
    order = np.argsort(-known.sureness, kind="stable")
    right = known.right[order]
    counts = [max(1, round(share * len(right))) for share in SHARES] if len(right) else []
    return [
        {"share": share, "clips": count, "accuracy": float(right[:count].mean())}
        for share, count in zip(SHARES, counts, strict=False)
    ]


def confusion(answers: Answers) -> dict[tuple[str, str], float]:
    """Share of the clips of a label that were told as another, or as unknown."""
    told = np.where(answers.answered, answers.first, UNKNOWN)
    counts = Counter(zip(answers.truth.tolist(), told.tolist(), strict=True))
    totals = Counter(answers.truth.tolist())
    return {pair: count / totals[pair[0]] for pair, count in counts.items()}


def unknown_rates(
    kinds: Sequence[str], told: Sequence[Classification]
) -> Mapping[str, tuple[float, int]]:
    """Share answered as unknown, and the count, of each kind of sound."""
    asked: Counter[str] = Counter(kinds)
    unknown = Counter(
        kind for kind, each in zip(kinds, told, strict=True) if each.unknown is not None
    )
    return {kind: (unknown[kind] / count, count) for kind, count in asked.items()}


def reasons(told: Sequence[Classification]) -> dict[str, int]:
    """How many were unknown, by why."""
    return dict(Counter(each.unknown.value for each in told if each.unknown is not None))


def _refused(told: Sequence[Classification]) -> float:
    """Share answered as unknown of what had enough speech; 0 where nothing had."""
    enough = [each for each in told if each.unknown is not UnknownReason.TOO_SHORT]
    return sum(each.unknown is not None for each in enough) / max(1, len(enough))


def _pairs(answers: Answers) -> Iterator[tuple[str, Classification]]:
    return zip(answers.truth.tolist(), answers.told, strict=True)
