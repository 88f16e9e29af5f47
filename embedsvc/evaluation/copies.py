"""How near a copy of a recording is to it, and how near other recordings come."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from embedsvc.evaluation.corruption import Corruption, White, opus, telephone
from embedsvc.evaluation.embedding import Subject, Tell, embed
from embedsvc.evaluation.same_content import unit
from embedsvc.evaluation.speech import Row
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Floats

OTHERS = "nearest other recording"


@dataclass(frozen=True)
class Nearness:
    """Cosines of recordings with a copy of theirs, or with the nearest other recording.

    `shares` are of cosines of at least each level.
    """

    name: str
    recordings: int
    least: float
    median: float
    most: float
    shares: Mapping[float, float]

    @classmethod
    def of(cls, name: str, cosines: Floats, levels: Sequence[float]) -> "Nearness":
        """That of cosines (n,)."""
        return cls(
            name,
            len(cosines),
            float(cosines.min()),
            float(np.median(cosines)),
            float(cosines.max()),
            {level: float((cosines >= level).mean()) for level in levels},
        )


def changes() -> dict[str, Corruption]:
    """What is done to a recording that is still the same one."""
    return {
        "a third as loud": lambda samples, _: (0.3 * samples).astype(np.float32),
        "Opus, 12 kbit/s": opus,
        "white noise, 30 dB": White(30),
        "white noise, 20 dB": White(20),
        "telephone": telephone,
        "first 0.2 s cut off": _cut,
        "0.5 s of silence before": _padded,
    }


def measure(
    subject: Subject, rows: Sequence[Row], levels: Sequence[float], tell: Tell
) -> Iterator[Nearness]:
    """The nearest others first, then every kind of copy; `tell` hears of the clips of all."""
    worse = changes()
    total = (1 + len(worse)) * len(rows)
    plain = embed(subject, rows, lambda done, _: tell(done, total)).clips
    vectors = dict(zip(plain.rows, unit(plain.default), strict=True))
    yield Nearness.of(OTHERS, _others(unit(plain.default)), levels)
    for number, (name, change) in enumerate(worse.items(), 1):
        told = partial(_tell, tell, number * len(rows), total)
        copies = embed(subject, rows, told, partial(_changed, change)).clips
        pairs = zip(copies.rows, unit(copies.default), strict=True)
        cosines = np.array([vectors[row] @ copy for row, copy in pairs if row in vectors])
        yield Nearness.of(name, cosines, levels)


def _others(vectors: Floats) -> Floats:
    """The cosine (n,) of each of the unit vectors (n, d) with the nearest of the others."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    nearest: Floats = cosines.max(axis=1)
    return nearest


def _tell(tell: Tell, before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


def _changed(change: Corruption, row: Row, samples: Floats) -> Floats:
    return change(samples, np.random.default_rng(list(row.path.name.encode())))


def _cut(samples: Floats, _: np.random.Generator) -> Floats:
    return samples[min(len(samples) // 2, SAMPLE_RATE // 5) :]


def _padded(samples: Floats, _: np.random.Generator) -> Floats:
    return np.concatenate([np.zeros(SAMPLE_RATE // 2, np.float32), samples])
