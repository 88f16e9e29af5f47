"""What a collection gives of the texts it keeps: those of a recording, or where a text is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from embedsvc.errors import RecordingNotFound
from embedsvc.filters import Filter
from embedsvc.index import reads, texts
from embedsvc.index.prepared import unit
from embedsvc.index.search import Search
from embedsvc.index.store import Store
from embedsvc.index.texts import Phoned, Read, mean_confidence
from embedsvc.texts import matching, terms
from embedsvc.texts.terms import Phrase
from embedsvc.types import Floats, Hit, Line, Span, TextHit, Texts, TextScores

PER_LINE = 16
"""Places in one line of phones that may be hits."""


@dataclass(frozen=True)
class TextQuery:
    """What is looked for in each way, empty or None where it is not; `k` hits of each.

    `vector` (D,) is of the space called `space`. With `group`, a recording counts once.
    """

    phrases: tuple[Phrase, ...] = ()
    phones: tuple[str, ...] = ()
    vector: Floats | None = None
    space: str = ""
    k: int = 10
    condition: Filter | None = None
    group: bool = False


@dataclass(frozen=True)
class Rankings:
    """The answers of the ways that were asked for, each the best first."""

    sequence: int
    words: tuple[TextHit, ...] = ()
    phones: tuple[TextHit, ...] = ()
    audio: tuple[TextHit, ...] = ()


@dataclass(frozen=True)
class StoredTexts:
    """The texts of a collection."""

    store: Store

    @property
    def recipe(self) -> Texts | None:
        """Which it keeps; None when it keeps none."""
        return self.store.texts

    def has_words(self) -> bool:
        """Whether any line has words."""
        with self.store.reading() as (_, connection):
            return texts.has_words(connection)

    def of(self, name: str) -> list[Line]:
        """The lines of a recording; raises RecordingNotFound."""
        with self.store.reading() as (_, connection):
            rids = reads.rids_of(connection, [name])
            if rids:
                return texts.of(connection, rids[0])
        raise RecordingNotFound(f"`id` must exist, but {name!r} does not", field="id", name=name)

    def search(self, query: TextQuery) -> Rankings:
        """All that is asked for, of one state of the collection."""
        with self.store.reading() as (view, connection):
            sound: tuple[TextHit, ...] = ()
            if query.vector is not None:
                part = self.store.identity.part(query.space)
                given = unit(query.vector, part.dim, "query")
                asked = view.spaces[part.number].direction(given)
                search = Search(part, asked, query.k, query.condition, group=query.group)
                found, _ = search.run(view, connection, self.store.tuning.gather_limit)
                sound = tuple(map(_heard, found.hits))
            return Rankings(
                view.sequence,
                _by_words(connection, query) if query.phrases else (),
                _by_phones(connection, query) if query.phones else (),
                sound,
            )


def _heard(hit: Hit) -> TextHit:
    """A segment that is near to the audio."""
    scores = TextScores(audio=hit.score)
    return TextHit(hit.id, hit.score, hit.span, hit.metadata, scores=scores)


def _by_words(connection: apsw.Connection, query: TextQuery) -> tuple[TextHit, ...]:
    found = texts.with_words(connection, query.phrases, query.condition, query.k, group=query.group)
    owners = texts.owners(connection, {each.rid for each in found})
    hits = []
    for each in found:
        read = texts.line(connection, each.lid)
        place = _said(read.line, query.phrases)
        hits.append(_hit(owners[each.rid], read, place, TextScores(words=each.score)))
    return tuple(hits)


def _said(line: Line, phrases: Sequence[Phrase]) -> tuple[int, int]:
    """The units of a line from the first of the words that are looked for to the last."""
    flat = [(term, at) for at, each in enumerate(line.units) for term in terms.terms_of(each.text)]
    first, end = terms.covered(phrases, [term for term, _ in flat])
    if first == end:  # the text and its units are parted differently
        return 0, len(line.units)
    return flat[first][1], flat[end - 1][1] + 1


def _by_phones(connection: apsw.Connection, query: TextQuery) -> tuple[TextHit, ...]:
    known = texts.symbols(connection)
    lines = texts.with_phones(connection, query.condition)
    if not lines:
        return ()
    table = matching.costs([_known(phone, known) for phone in query.phones], known)
    scores = matching.scores(table, [each.numbers for each in lines])
    best = _best_lines(lines, scores, query)
    places = [
        (-place.score, lines[at].lid, place.start, place.end, lines[at].rid)
        for at in best
        for place in matching.occurrences(table, lines[at].numbers, 1 if query.group else PER_LINE)
    ]
    chosen = sorted(places)[: query.k]
    owners = texts.owners(connection, {rid for *_, rid in chosen})
    read = {lid: texts.line(connection, lid) for _, lid, *_ in chosen}
    return tuple(
        _hit(owners[rid], read[lid], (start, end), TextScores(phones=-cost))
        for cost, lid, start, end, rid in chosen
    )


def _best_lines(lines: Sequence[Phoned], scores: Floats | Any, query: TextQuery) -> list[int]:
    """Where the `k` best lines are, older ones first among equals."""
    order = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    met: set[int] = set()
    for at in order.tolist():
        if len(chosen) == query.k or scores[at] <= 0:
            break
        if not (query.group and lines[at].rid in met):
            chosen.append(at)
            met.add(lines[at].rid)
    return chosen


def _known(phone: str, symbols: Sequence[str]) -> str:
    """The phone, without the last modifiers until it is one that is stored; else as it is."""
    shorter = phone
    while shorter and shorter not in symbols:
        shorter = shorter[:-1]
    return shorter or phone


def _hit(
    owner: tuple[str, Mapping[str, Any]], read: Read, place: tuple[int, int], scores: TextScores
) -> TextHit:
    units = read.line.units[slice(*place)]
    span = Span(min(each.span.start for each in units), max(each.span.end for each in units))
    score = scores.words if scores.words is not None else scores.phones
    assert score is not None, "one way found it"
    text, head = read.text(*place), read.line.head
    return TextHit(owner[0], score, span, owner[1], text, head, mean_confidence(units), scores)
