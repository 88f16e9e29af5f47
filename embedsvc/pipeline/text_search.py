"""Searches by typed text: its words, its phones, and beside them a sound."""

import asyncio
from dataclasses import dataclass, replace

from embedsvc.batching import Terms
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.filters import Filter
from embedsvc.index import Collection, Rankings, TextQuery
from embedsvc.pipeline.embedder import ON_CALL
from embedsvc.texts import pronouncing, terms
from embedsvc.texts.fusing import Ranking, fused
from embedsvc.types import (
    AudioWarning,
    Floats,
    HeadKind,
    Source,
    TextHit,
    TextMatch,
    Texts,
    Timing,
)

DEPTH = 200
"""Recordings of each ranking that are joined, or more for more hits."""

TEXT_WEIGHT = 2.0
"""How much words and phones count beside an audio: the best of what was measured over audio of the
same language and of others (docs/search.md)."""


@dataclass(frozen=True)
class TextSearch:
    """A search by typed text; `phones` are IPA, and without a `match` it is what there is."""

    text: str = ""
    language: str = ""
    phones: str = ""
    match: TextMatch | None = None
    audio: Source | None = None
    space: str = ""
    top_k: int = 10
    condition: Filter | None = None
    min_score: float | None = None
    one_per_recording: bool = False
    terms: Terms = ON_CALL


@dataclass(frozen=True)
class TextAnswer:
    """What a search by text found, the phones it looked for, and what was noticed of its audio."""

    hits: tuple[TextHit, ...]
    sequence: int
    phones: tuple[str, ...]
    warnings: tuple[AudioWarning, ...]
    samples: int
    frames: int
    timing: Timing


async def asked(collection: Collection, search: TextSearch) -> TextQuery:
    """What to look for; raises FailedPrecondition for texts that the collection does not keep."""
    kept = collection.texts.recipe
    if kept is None:
        raise FailedPrecondition(
            f"`text` needs a collection that keeps texts, but {collection.name!r} was made without",
            field="text",
        )
    for field in ("text", "phones"):
        if given := getattr(search, field):
            terms.check_length(given, field)
    has_words = await asyncio.to_thread(collection.texts.has_words)
    ways = _ways(search, kept, has_words=has_words)
    phones: tuple[str, ...] = ()
    if TextMatch.PHONES in ways:
        phones = await asyncio.to_thread(_phones, search)
    return TextQuery(
        phrases=terms.asked(search.text) if TextMatch.WORDS in ways else (),
        phones=phones,
        space=search.space,
        k=search.top_k,
        condition=search.condition,
        group=search.one_per_recording,
    )


def found(
    collection: Collection, search: TextSearch, query: TextQuery, vector: Floats | None
) -> tuple[Rankings, list[TextHit]]:
    """The hits of all ways that were asked for, joined where they are several."""
    joined = bool(query.phrases) + bool(query.phones) + (vector is not None) > 1
    if joined:
        query = replace(query, k=max(DEPTH, search.top_k), group=True)
    rankings = collection.texts.search(replace(query, vector=vector))
    if joined:
        ways = (
            (query.phrases, Ranking(rankings.words, TEXT_WEIGHT, query.k, relative=True)),
            (query.phones, Ranking(rankings.phones, TEXT_WEIGHT, query.k)),
            (vector is not None, Ranking(rankings.audio, 1.0, query.k)),
        )
        hits = fused([ranking for way, ranking in ways if way])
    else:
        hits = [*rankings.words, *rankings.phones]
    least = search.min_score
    kept = [hit for hit in hits if least is None or hit.score >= least]
    return rankings, kept[: search.top_k]


def _ways(search: TextSearch, kept: Texts, *, has_words: bool) -> frozenset[TextMatch]:
    """Words, phones or both, as the request says and the collection allows."""
    hears = any(head.kind is HeadKind.PHONES for head in kept.heads)
    ways: set[TextMatch | None]
    wanted = search.match
    if wanted in {TextMatch.PHONES, TextMatch.BOTH} and not hears:
        raise FailedPrecondition(
            f"`match` {wanted} needs texts of a head that writes phones, but the collection keeps "
            f"those of {', '.join(head.name for head in kept.heads) or 'none'}",
            field="match",
        )
    ways = {TextMatch.WORDS, TextMatch.PHONES} if wanted is TextMatch.BOTH else {wanted}
    if wanted is None:
        worded = bool(search.text) and (has_words or not hears)
        phonetic = hears and bool(search.phones or search.language or not worded)
        ways = {TextMatch.WORDS} if worded else set()
        ways |= {TextMatch.PHONES} if phonetic else set()
    if not search.text and (TextMatch.WORDS in ways or not search.phones):
        raise InvalidArgument("`text` must not be empty", field="text")
    return frozenset(way for way in ways if way is not None)


def _phones(search: TextSearch) -> tuple[str, ...]:
    if search.phones:
        return pronouncing.spelled(search.phones)
    if not search.language:
        raise InvalidArgument(
            "`language_code` must be set to look for phones of a text, or `phones` given",
            field="language_code",
        )
    return pronouncing.pronounced(search.text, search.language)
