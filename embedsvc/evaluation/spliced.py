"""Long recordings of which is known what is said when: real clips, one after the other."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embedsvc.audio import Door, decode
from embedsvc.evaluation.speech import Row
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Floats, Span

SAME_SPEAKER = "the same speaker"
OTHER_SPEAKER = "another speaker"
OTHER_LANGUAGE = "another language"
TASKS = (SAME_SPEAKER, OTHER_SPEAKER, OTHER_LANGUAGE)
"""Who says again what the query says, from easy to hard."""

GAPS = (0.1, 0.6)
"""Seconds between clips, at random."""

HISS = 1e-4
"""Level of the noise between clips: -80 dB."""

TOLERANCE = SAMPLE_RATE // 2
"""How far outside an occurrence the middle of a detection may be, as in the NIST evaluations."""


@dataclass(frozen=True)
class Placed:
    """A clip at its place in a recording."""

    row: Row
    span: Span


@dataclass(frozen=True)
class Question:
    """A clip to search with, which is in no recording, and who is to be found."""

    task: str
    row: Row

    def wants(self, other: Row) -> bool:
        """Whether `other`, which says the same, is to be found; if not, finding it is no fault."""
        language = other.language == self.row.language
        speaker = other.speaker == self.row.speaker
        return {
            SAME_SPEAKER: language and speaker,
            OTHER_SPEAKER: language and not speaker,
            OTHER_LANGUAGE: not language,
        }[self.task]


@dataclass(frozen=True)
class Plan:
    """Which clips are asked with, and which are spliced, in order."""

    questions: tuple[Question, ...]
    rows: tuple[Row, ...]


def plan(rows: Sequence[Row], each: int, seed: int = 1) -> Plan:
    """Up to `each` questions of every task and set; all other clips are to be spliced."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    rows = sorted(rows, key=lambda row: str(row.path))
    chance.shuffle(rows)
    offers = list(_offers(rows))
    chance.shuffle(offers)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    chosen: dict[Row, Question] = {}
    for offer in offers:
        kind = (offer.task, offer.row.corpus)
        if counts[kind] < each and offer.row not in chosen:
            counts[kind] += 1
            chosen[offer.row] = offer
    return Plan(tuple(chosen.values()), tuple(row for row in rows if row not in chosen))


def recordings(rows: Sequence[Row], minutes: float) -> Iterator[tuple[Floats, list[Placed]]]:
    """Recordings of about `minutes`, and what is in each; clips that cannot be read are left out.

    The last, shorter one is given too.
    """
    noise = np.random.default_rng(1)
    parts: list[Floats] = []
    placed: list[Placed] = []
    length = 0
    for row in rows:
        samples = decode(row.path.read_bytes(), Door()).samples
        gap = int(noise.uniform(*GAPS) * SAMPLE_RATE)
        parts += [samples, (HISS * noise.standard_normal(gap)).astype(np.float32)]
        placed.append(Placed(row, Span(length, length + len(samples))))
        length += len(samples) + gap
        if length >= minutes * 60 * SAMPLE_RATE:
            yield np.concatenate(parts), placed
            parts, placed, length = [], [], 0
    if parts:
        yield np.concatenate(parts), placed


def is_at(span: Span, place: Span) -> bool:
    """Whether a detection is at an occurrence: its middle is near, or it holds that of the other.

    The second is for detections that are long, whose middle may be anywhere.
    """
    middle, wanted = (span.start + span.end) // 2, (place.start + place.end) // 2
    near = place.start - TOLERANCE <= middle <= place.end + TOLERANCE
    return near or span.start <= wanted < span.end


def overlap(left: Span, right: Span) -> float:
    """Intersection over union of two spans.

    >>> overlap(Span(0, 4), Span(2, 6))
    0.3333333333333333
    """
    shared = min(left.end, right.end) - max(left.start, right.start)
    return max(0, shared) / (max(left.end, right.end) - min(left.start, right.start))


def _offers(rows: Sequence[Row]) -> Iterator[Question]:
    """One question for each way in which a clip's content is said again."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.group and row.speaker:
            groups[row.corpus, row.group].append(row)
    for _, group in sorted(groups.items()):
        for task in TASKS:
            for row in group:
                question = Question(task, row)
                if any(other is not row and question.wants(other) for other in group):
                    yield question
                    break
