"""Several rankings of recordings as one."""

from collections.abc import Sequence
from dataclasses import replace

from embedsvc.types import TextHit, TextScores

SMOOTHING = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): how slowly a place loses worth."""


def fused(rankings: Sequence[Sequence[TextHit]]) -> list[TextHit]:
    """One hit of each recording, by the sum of what its places are worth, 1 if first everywhere.

    Of a recording in several, the earliest ranking says where; so words come before phones, and
    these before audio. A ranking counts a recording by its best hit.
    """
    whole = len(rankings) / (SMOOTHING + 1)
    worth: dict[str, float] = {}
    kept: dict[str, TextHit] = {}
    for ranking in rankings:
        place = 0
        met: set[str] = set()
        for hit in ranking:
            if hit.id in met:
                continue
            met.add(hit.id)
            place += 1
            worth[hit.id] = worth.get(hit.id, 0.0) + 1 / (SMOOTHING + place) / whole
            known = kept.get(hit.id)
            kept[hit.id] = hit if known is None else _joined(known, hit)
    ordered = sorted(worth.items(), key=lambda item: -item[1])
    return [replace(kept[id], score=score) for id, score in ordered]


def _joined(known: TextHit, hit: TextHit) -> TextHit:
    old, new = known.scores, hit.scores
    scores = TextScores(
        old.words if old.words is not None else new.words,
        old.phones if old.phones is not None else new.phones,
        old.audio if old.audio is not None else new.audio,
    )
    return replace(known, scores=scores)
