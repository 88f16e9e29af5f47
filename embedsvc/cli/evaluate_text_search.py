"""`embedsvc evaluate text-search`: whether a typed phrase is found where it is said.

Through the front door of the service: a set whose rows have a language and a transcript is indexed
with the texts of a head of phones, and phrases of its transcripts are typed. What is right is known
from the transcripts: every recording of the language that has the phrase. With groups, a recording
of the same group by another speaker is heard beside the text, to see what each way adds.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedsvc.cli import connection
from embedsvc.cli.index import Item, results, select
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.cli.search import condition
from embedsvc.client import Client, Collection
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.filters import And, Equals, Filter, Not, matches, parse
from embedsvc.texts.terms import terms_of
from embedsvc.types import Span, StoredRecording

INDEX = "index.tsv"
WORDS = (1, 2, 3)
LETTERS = 4
"""Of a phrase at least; shorter ones are in every recording."""

DEPTH = 100
"""Hits that are looked through; what is right beyond counts as not found."""


@dataclass(frozen=True)
class Question:
    """A phrase of a recording, which recordings have it, and where it stands in its own.

    `place` are the shares of the letters before it and up to its end.
    """

    item: Item
    phrase: str
    right: frozenset[str]
    place: tuple[float, float] = (0.0, 1.0)


@dataclass
class Score:
    """How a way of searching did: the place of the first right hit of each question, 0 for none."""

    name: str
    places: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    overlaps: list[bool] = field(default_factory=list)

    def described(self) -> dict[str, object]:
        """Its figures."""
        count = len(self.places)
        overlaps = f"{statistics.mean(self.overlaps):.3f}" if self.overlaps else ""
        return {
            "what": self.name,
            "queries": count,
            "hit@1": f"{sum(place == 1 for place in self.places) / count:.3f}",
            "hit@10": f"{sum(0 < place <= 10 for place in self.places) / count:.3f}",  # its name
            "MRR": f"{sum(1 / place for place in self.places if place) / count:.3f}",
            "span overlaps": overlaps,
            "p50 ms": f"{statistics.median(self.milliseconds):.0f}",
            "p95 ms": f"{sorted(self.milliseconds)[int(count * 0.95)]:.0f}",
        }


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("text-search", help="is a typed phrase found where it is said?")
    parser.add_argument(
        "index", type=Path, metavar="INDEX.tsv", help="beside its sound files, or their folder"
    )
    parser.add_argument(
        "--ask",
        type=condition,
        default=parse('split = "dev"'),
        metavar="EXPR",
        help="""rows whose phrases are typed (default: split = "dev"); all are indexed""",
    )
    parser.add_argument("--queries", type=int, default=300, metavar="N", help="default: 300")
    parser.add_argument("--head", default="phones", help="default: phones")
    parser.add_argument(
        "--collection", metavar="NAME", help="keep it, or use that of an earlier run as it is"
    )
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Index, type, and show what was found."""
    if chosen.index.is_dir():
        chosen.index = chosen.index / INDEX
    items = select([chosen.index.parent], chosen.index, None)
    told = [item for item in items if {"language", "transcript"} <= item.metadata.keys()]
    if not told:
        raise InvalidArgument(f"`INDEX.tsv` must have rows with a transcript: {chosen.index}")
    with tempfile.TemporaryDirectory(prefix="embedsvc-evaluate-") as folder:
        if chosen.target is None and chosen.data is None:
            chosen.data = Path(folder)
        with connection.connect(chosen) as client:
            collection = _filled(client, items, chosen)
            try:
                scores = list(_measure(collection, told, chosen))
            finally:
                if chosen.collection is None:
                    client.delete_collection(collection.name)
    _show(scores, as_json=chosen.json)
    return 0


def _filled(client: Client, items: Sequence[Item], chosen: argparse.Namespace) -> Collection:
    name = chosen.collection or f"evaluate-{time.time_ns():x}"
    collection = client.create_collection(name, texts=[chosen.head], exist_ok=True)
    if not collection.count():
        with progress() as bar:
            for result in results(client, collection, items, bar):
                if result.error is not None:
                    say(f"{result.id}: {result.error}")
    return collection


def _measure(
    collection: Collection, items: Sequence[Item], chosen: argparse.Namespace
) -> Iterator[Score]:
    stored = {recording.id: recording for recording in collection.list()}
    items = [item for item in items if item.id in stored]
    say(f"{len(stored):,} recordings, {sum(r.length for r in stored.values()) / 57.6e6:.1f} h")
    asked = [item for item in items if matches(chosen.ask, item.metadata)]
    random.Random(1).shuffle(asked)  # noqa: S311  # repeatable
    for count in WORDS:
        questions = _phrases(asked, items, count)
        yield from _ask(collection, questions, stored, chosen.queries, count)
    yield from _compare(collection, asked, items, chosen.queries)


def _ask(
    collection: Collection,
    questions: Iterator[Question],
    stored: dict[str, StoredRecording],
    most: int,
    count: int,
) -> Iterator[Score]:
    score = Score(f"{count} word{'s' * (count > 1)}, by phones")
    for question in questions:
        if len(score.places) == most:
            break
        try:
            found = collection.search_text(
                question.phrase,
                language=str(question.item.metadata["language"]).partition("-")[0],
                match="phones",
                top_k=DEPTH,
                one_per_recording=True,
            )
        except InvalidArgument:  # a language that espeak-ng does not speak
            continue
        except FailedPrecondition as error:
            say(str(error))
            return
        score.places.append(_place([hit.id for hit in found], question.right))
        score.milliseconds.append(found.timing.total * 1e3)
        own = next((hit for hit in found if hit.id == question.item.id), None)
        if own is not None:
            length = stored[own.id].length
            first, last = (int(share * length) for share in question.place)
            score.overlaps.append(_overlap(own.span, Span(first, last)))
    if score.places:
        yield score


def _phrases(asked: Sequence[Item], items: Sequence[Item], count: int) -> Iterator[Question]:
    """A phrase of so many words of each recording that has more."""
    chance = random.Random(count)  # noqa: S311  # repeatable
    said: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
    for item in items:
        said[str(item.metadata["language"])].append((item.id, _words(item)))
    for item in asked:
        words = _words(item)
        if len(words) <= count:
            continue
        start = chance.randrange(len(words) - count + 1)
        phrase = words[start : start + count]
        if sum(map(len, phrase)) < LETTERS:
            continue
        same = said[str(item.metadata["language"])]
        right = frozenset(id for id, others in same if _holds(others, phrase))
        whole = sum(map(len, words))
        first = sum(map(len, words[:start]))
        place = (first / whole, (first + sum(map(len, phrase))) / whole)
        yield Question(item, " ".join(phrase), right, place)


def _compare(
    collection: Collection, asked: Sequence[Item], items: Sequence[Item], most: int
) -> Iterator[Score]:
    """Whole texts, the same content by another speaker, and both."""
    groups: dict[object, list[Item]] = defaultdict(list)
    for item in items:
        if item.metadata.get("group"):
            groups[item.metadata["group"]].append(item)
    ways = [Score("whole text, by phones"), Score("another speaker's audio"), Score("both")]
    for item in asked:
        mates = groups.get(item.metadata.get("group"), [])
        others = [each for each in mates if _speaker(each) != _speaker(item)]
        if not others or len(ways[0].places) == most:
            continue
        right = frozenset(
            each.id
            for each in mates
            if each.metadata["language"] == item.metadata["language"] and each not in others[:1]
        )
        try:
            found = _three_ways(collection, item, others[0])
        except InvalidArgument:
            continue
        for score, (ids, milliseconds) in zip(ways, found, strict=True):
            score.places.append(_place(ids, right))
            score.milliseconds.append(milliseconds)
    if ways[0].places:
        yield from ways


def _three_ways(collection: Collection, item: Item, other: Item) -> list[tuple[list[str], float]]:
    """Ids that are found by text, by audio and by both, and how long each took."""
    text, code = str(item.metadata["transcript"]), str(item.metadata["language"]).partition("-")[0]
    but: Filter = And((Not(Equals("speaker", _speaker(other))),))
    told = collection.search_text(
        text, language=code, match="phones", top_k=DEPTH, one_per_recording=True, where=but
    )
    sound = collection.search(other.path, top_k=DEPTH, one_per_recording=True, where=but)
    both = collection.search_text(
        text, language=code, match="phones", audio=other.path, top_k=DEPTH, where=but
    )
    return [([hit.id for hit in found], found.timing.total * 1e3) for found in (told, sound, both)]


def _words(item: Item) -> list[str]:
    return terms_of(str(item.metadata["transcript"]))


def _speaker(item: Item) -> str:
    return str(item.metadata.get("speaker", ""))


def _holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    wide = len(phrase)
    return any(words[at : at + wide] == phrase for at in range(len(words) - wide + 1))


def _place(ids: Sequence[str], right: frozenset[str]) -> int:
    return next((place for place, id in enumerate(ids, 1) if id in right), 0)


def _overlap(found: Span, wanted: Span) -> bool:
    return found.start < wanted.end and wanted.start < found.end


def _show(scores: Sequence[Score], *, as_json: bool) -> None:
    rows = [score.described() for score in scores]
    if as_json:
        for row in rows:
            emit(row)
    elif rows:
        columns = [name if name == "what" else f"{name}>" for name in rows[0]]
        table("Typed text", columns, [tuple(row.values()) for row in rows])
