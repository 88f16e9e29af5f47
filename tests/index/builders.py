"""Small recordings, and the answers that plain numpy gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from embedsvc.filters import Filter, matches
from embedsvc.index import Collection, Tuning
from embedsvc.types import (
    Codes,
    Floats,
    Metadata,
    Pooling,
    Recording,
    Segment,
    Segmentation,
    Space,
    Span,
    Windowing,
)

DIM = 8

SEGMENTATION = Segmentation()

SMALL = Tuning(ballast_bytes=0)
"""The defaults, without 16 MB of ballast for every test."""

EAGER = Tuning(tail_limit=24, dead_share=0.2, dead_floor=4, gather_limit=4, ballast_bytes=0)
"""All changes of method within a few dozen segments."""


def space(dim: int = DIM) -> Space:
    return Space(
        fingerprint=f"space-{dim}",
        model="mini",
        weights="0" * 64,
        layer=3,
        pooling=Pooling.MEAN,
        windowing=Windowing(),
        projection="",
        normalized=True,
        dim=dim,
    )


TWO = {"sense": space(), "sound": space(5)}
"""The spaces of a collection that has two."""


def vector(seed: int, dim: int = DIM) -> Floats:
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def recording(
    id: str,
    seed: int = 0,
    segments: int = 1,
    dim: int = DIM,
    metadata: Metadata | None = None,
    more: Sequence[int] = (),
) -> Recording:
    """A recording with vectors of `dim`, and of `more` dimensions in further spaces."""
    return Recording(
        id=id,
        segments=tuple(
            Segment(
                Span(100 * place, 100 * place + 200),
                vector(seed * 1_000 + place, dim),
                tuple(vector(seed * 1_000 + place + 500, each) for each in more),
            )
            for place in range(segments)
        ),
        metadata=metadata or {},
        length=100 * segments + 100,
        digest=f"digest-{seed}",
    )


def coded(seed: int, count: int = 40, dim: int = 6) -> Codes:
    """Codes as a recording of that seed may have them."""
    return np.random.default_rng(seed).integers(-127, 128, (count, dim)).astype(np.int8)


def stored(vector: Floats) -> Floats:
    """A vector as the store keeps it."""
    precise = vector.astype(np.float64)
    return (precise / np.linalg.norm(precise)).astype(np.float16).astype(np.float32)


@dataclass
class Oracle:
    """What a collection should hold, in the order it was stored."""

    recordings: dict[str, Recording] = field(default_factory=dict)

    def put(self, recording: Recording) -> None:
        self.recordings.pop(recording.id, None)
        self.recordings[recording.id] = recording

    def search(
        self,
        query: Floats,
        k: int,
        condition: Filter | None = None,
        *,
        group: bool = False,
        place: int = 0,
    ) -> list[tuple[str, Span, float]]:
        precise = query.astype(np.float64)
        unit = precise / np.linalg.norm(precise)
        hits = [
            (recording.id, segment.span, float(stored(segment.vectors[place]) @ unit))
            for recording in self.recordings.values()
            if condition is None or matches(condition, recording.metadata)
            for segment in recording.segments
        ]
        hits.sort(key=lambda hit: -hit[2])
        if group:
            best: dict[str, tuple[str, Span, float]] = {}
            for hit in hits:
                best.setdefault(hit[0], hit)
            hits = list(best.values())
        return hits[:k]


def assert_finds(
    collection: Collection,
    oracle: Oracle,
    query: Floats,
    k: int = 10,
    condition: Filter | None = None,
    *,
    group: bool = False,
    place: int = 0,
) -> None:
    """The collection answers exactly as the oracle does, in the same order, in one space."""
    found = collection.search(query, k, condition, group=group, space=[*collection.spaces][place])
    expected = oracle.search(query, k, condition, group=group, place=place)
    assert [(hit.id, hit.span) for hit in found.hits] == [(id, span) for id, span, _ in expected]
    assert np.allclose([hit.score for hit in found.hits], [score for *_, score in expected])
    assert found.exact
