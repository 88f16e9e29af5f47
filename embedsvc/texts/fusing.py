"""Several rankings of recordings as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from embedsvc.types import TextHit, TextScores


@dataclass(frozen=True)
class Ranking:
    """Hits by one way of searching, the best first, and how much it counts.

    `limit` is how many recordings it was asked for: what a full ranking lacks may be as good as its
    last. With `relative`, scores have no unit and count as shares of the best.
    """

    hits: Sequence[TextHit]
    weight: float
    limit: int
    relative: bool = False


def fused(rankings: Sequence[Ranking]) -> list[TextHit]:
    """One hit of each recording, by the weighted mean of its scores.

    Of a recording in several, the earliest ranking says where; so words come before phones, and
    these before audio. A ranking counts a recording by its best hit.
    """
    kept: dict[str, TextHit] = {}
    for ranking in rankings:
        for hit in _best(ranking).values():
            known = kept.get(hit.id)
            kept[hit.id] = hit if known is None else _joined(known, hit)
    score = dict.fromkeys(kept, 0.0)
    whole = sum(ranking.weight for ranking in rankings)
    for ranking in rankings:
        told, floor = _scores(ranking)
        for id in kept:
            score[id] += ranking.weight / whole * told.get(id, floor)
    ordered = sorted(kept, key=lambda each: -score[each])
    return [replace(kept[id], score=score[id]) for id in ordered]


def _best(ranking: Ranking) -> dict[str, TextHit]:
    best: dict[str, TextHit] = {}
    for hit in ranking.hits:
        best.setdefault(hit.id, hit)
    return best


def _scores(ranking: Ranking) -> tuple[dict[str, float], float]:
    """The score of each recording, and what one counts for that is not there."""
    best = _best(ranking)
    top = max((hit.score for hit in best.values()), default=1.0) if ranking.relative else 1.0
    told = {id: hit.score / top for id, hit in best.items()}
    full = len(told) >= ranking.limit
    return told, min(told.values()) if full else 0.0


def _joined(known: TextHit, hit: TextHit) -> TextHit:
    old, new = known.scores, hit.scores
    scores = TextScores(
        old.words if old.words is not None else new.words,
        old.phones if old.phones is not None else new.phones,
        old.audio if old.audio is not None else new.audio,
    )
    return replace(known, scores=scores)
