# ruff: noqa: RUF001  # IPA looks like other letters, and must

"""Texts: kept with their recording, looked up by words and phones, and gone with it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import DataLoss, InvalidArgument, RecordingNotFound
from embedsvc.filters import Equals
from embedsvc.index import Catalog, Collection, TextQuery, WriteMode
from embedsvc.texts import matching, terms
from embedsvc.types import (
    HeadKind,
    Line,
    Recording,
    Span,
    TextHead,
    TextHit,
    Texts,
    TextUnit,
)
from tests.index.builders import SEGMENTATION, SMALL, recording, space, vector

UPSERT = WriteMode.UPSERT
KEPT = Texts((TextHead("words", HeadKind.TEXT), TextHead("phones", HeadKind.PHONES)))
LENGTH = 100
"""Samples of a unit."""


@pytest.fixture
def keeping(catalog: Catalog) -> Collection:
    """A collection that keeps texts."""
    return catalog.create("told", space(), SEGMENTATION, texts=KEPT)


def line(text: str, kind: HeadKind = HeadKind.TEXT, parts: Sequence[str] | None = None) -> Line:
    """A line whose units come one after the other."""
    units = [
        TextUnit(part, Span(place * LENGTH, (place + 1) * LENGTH), 0.5)
        for place, part in enumerate(parts or text.split())
    ]
    return Line(text, tuple(units), "phones" if kind is HeadKind.PHONES else "words", kind)


def said(id: str, *texts: str, phones: str = "", seed: int = 1, **labels: str | int) -> Recording:
    lines = [line(text) for text in texts]
    lines += [line(phones, HeadKind.PHONES)] if phones else []
    made = recording(id, seed, metadata=labels)
    return replace(made, length=10_000, lines=tuple(lines))


def add(collection: Collection, *recordings: Recording) -> None:
    assert not collection.add(recordings, mode=UPSERT).failures


def words(collection: Collection, text: str, k: int = 10, **more: object) -> list[TextHit]:
    query = TextQuery(phrases=terms.asked(text), k=k)
    return list(collection.texts.search(replace(query, **more)).words)  # type: ignore[arg-type]


def phones(collection: Collection, ipa: str, k: int = 10, **more: object) -> list[TextHit]:
    query = TextQuery(phones=tuple(ipa.split()), k=k)
    return list(collection.texts.search(replace(query, **more)).phones)  # type: ignore[arg-type]


def ids(hits: Sequence[TextHit]) -> list[str]:
    return [hit.id for hit in hits]


def test_words_are_found_where_they_are_said(keeping: Collection) -> None:
    add(keeping, said("a", "Guten Tag, wie geht es"), said("b", "Gute Nacht"))
    (hit,) = words(keeping, "WIE tag")
    assert (hit.id, hit.text, hit.head, hit.confidence) == ("a", "Tag, wie", "words", 0.5)
    assert hit.span == Span(1 * LENGTH, 3 * LENGTH)
    assert hit.score == hit.scores.words
    assert hit.score > 0


def test_more_of_what_is_typed_and_what_is_rare_comes_first(keeping: Collection) -> None:
    add(
        keeping,
        said("one", "the house is old"),
        said("both", "the bird is old"),
        said("other", "the cat is new"),
        *(said(f"r{n}", "the end is here") for n in range(9)),
    )
    assert ids(words(keeping, "old bird"))[:2] == ["both", "one"]
    assert ids(words(keeping, "the bird"))[0] == "both"


def test_quotes_hold_words_together_and_an_asterisk_lets_one_go_on(keeping: Collection) -> None:
    add(keeping, said("a", "new york city"), said("b", "york is new"))
    assert ids(words(keeping, '"new york"')) == ["a"]
    assert sorted(ids(words(keeping, "new york"))) == ["a", "b"]
    assert ids(words(keeping, "cit*")) == ["a"]
    assert ids(words(keeping, "cit")) == []


def test_nothing_that_is_typed_is_a_command(keeping: Collection) -> None:
    add(keeping, said("a", "this or that near here"), said("b", "not at all"))
    assert ids(words(keeping, '" OR NEAR(')) == ["a"]
    assert ids(words(keeping, "NOT")) == ["b"]
    for text in ('x" OR "a', "terms : that", "that -this", "'; DROP TABLE line; --", "(that", "^t"):
        words(keeping, text)
    assert ids(words(keeping, "{that}: 5 + *")) == ["a"]


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40))
def test_no_text_at_all_breaks_the_search(text: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(terms, tokenize='ascii')")
    connection.execute("INSERT INTO words VALUES ('a b')")
    from embedsvc.index.texts import _question

    try:
        phrases = terms.asked(text)
    except InvalidArgument:
        return
    list(connection.execute("SELECT 1 FROM words(?)", (" OR ".join(map(_question, phrases)),)))


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("我们明天去北京", "北京", "北京"),
        ("我们明天去北京", "明天北京", "明天去北京"),
        ("ฉันรักเธอมาก", "รักเธอ", "รักเธอ"),
        ("私は東京に住んでいます", "東京", "東京"),
    ],
)
def test_scripts_without_spaces_are_searched_by_letters(
    keeping: Collection, text: str, query: str, found: str
) -> None:
    parts = terms.terms_of(text)
    made = replace(said("a"), lines=(line(text, parts=parts),))
    add(keeping, made, said("b", "something else"))
    (hit,) = words(keeping, query)
    assert (hit.id, hit.text) == ("a", found)
    first = parts.index(terms.terms_of(found)[0])
    assert hit.span.start == first * LENGTH


def test_accents_and_case_do_not_matter_and_vowel_signs_do(keeping: Collection) -> None:
    add(keeping, said("fra", "Un été À Évian"), said("hin", "हिन्दी में"))
    assert ids(words(keeping, "ete evian")) == ["fra"]
    assert ids(words(keeping, "हिन्दी")) == ["hin"]
    assert ids(words(keeping, "हनद")) == []


def test_phones_are_found_approximately(keeping: Collection) -> None:
    add(
        keeping,
        said("same", phones="x h a l oː v ɛ l t x"),
        said("near", phones="h ɑ l o f ɛ l d"),
        said("far", phones="m u m u m u m u"),
    )
    hits = phones(keeping, "h a l oː")
    assert ids(hits)[:2] == ["same", "near"]
    assert (hits[0].score, hits[0].text, hits[0].span) == (1.0, "h a l oː", Span(100, 500))
    assert 0.7 < hits[1].score < 1
    assert hits[0].head == "phones"


def test_a_line_may_say_it_more_than_once(keeping: Collection) -> None:
    add(keeping, said("a", phones="t a k x x t a k"), said("b", phones="d a k"))
    assert ids(phones(keeping, "t a k", 3)) == ["a", "a", "b"]
    assert ids(phones(keeping, "t a k", 3, group=True)) == ["a", "b"]
    assert [hit.span.start for hit in phones(keeping, "t a k", 2)] == [0, 500]


def test_unknown_modifiers_are_left_out(keeping: Collection) -> None:
    add(keeping, said("a", phones="t a"))
    (hit,) = phones(keeping, "tʰ aː")
    assert hit.score == 1.0


def test_a_filter_and_a_number_of_hits_hold_for_all_ways(keeping: Collection) -> None:
    add(
        keeping,
        *(said(f"r{n}", "one word", phones="w ɜ d", seed=n, n=n % 2) for n in range(10)),
    )
    odd = Equals("n", 1)
    assert len(words(keeping, "word", 3)) == 3
    assert ids(words(keeping, "word", condition=odd)) == [f"r{n}" for n in (1, 3, 5, 7, 9)]
    assert ids(phones(keeping, "w ɜ d", condition=odd)) == [f"r{n}" for n in (1, 3, 5, 7, 9)]
    assert phones(keeping, "w ɜ d", condition=Equals("n", 7)) == []


def test_the_nearest_segments_come_from_the_same_state(keeping: Collection) -> None:
    add(keeping, *(said(f"r{n}", "one word", seed=n) for n in range(5)))
    query = TextQuery(phrases=terms.asked("word"), vector=vector(3_000), k=2)
    found = keeping.texts.search(query)
    assert found.sequence == keeping.sequence
    assert found.audio[0].id == "r3"
    assert found.audio[0].scores.audio == pytest.approx(1, abs=1e-3)


def test_texts_come_back_as_they_were_given_and_stay(tmp_path: Path) -> None:
    item = said("a", "Guten  Tag, du", "and more", phones="ɡ uː t ə n")
    with Catalog(tmp_path / "data", SMALL) as catalog:
        add(catalog.create("told", space(), SEGMENTATION, texts=KEPT), item)
    with Catalog(tmp_path / "data", SMALL) as catalog:
        collection = catalog.get("told")
        assert collection.info().texts == collection.texts.recipe == KEPT
        assert collection.texts.of("a") == list(item.lines)
        collection.compact()
        assert ids(words(collection, "tag")) == ids(phones(collection, "uː t", 1)) == ["a"]
        with pytest.raises(RecordingNotFound):
            collection.texts.of("b")


def test_texts_go_with_their_recording_from_the_file_too(tmp_path: Path) -> None:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        collection = catalog.create("told", space(), SEGMENTATION, texts=KEPT)
        add(collection, said("a", "xylophone secret", phones="z a"), said("b", "other", phones="b"))
        add(collection, said("a", "replaced now", phones="r i"))
        assert words(collection, "xylophone") == []
        assert ids(words(collection, "replaced")) == ["a"]
        assert phones(collection, "z a z a")[0].score < 0.9
        collection.delete(["a"])
        assert words(collection, "replaced") == []
        assert ids(phones(collection, "r i")) == ["b"]
        collection.delete_where(Equals("n", 1))
    for path in tmp_path.rglob("rows.db*"):
        assert b"xylophone" not in path.read_bytes()
    assert counted(tmp_path) == [1, 1, 2]


def counted(folder: Path) -> list[int]:
    """Rows of the words' index, of phones and of lines."""
    (path,) = folder.rglob("rows.db")
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    found = [
        int(connection.execute(f"SELECT count(*) FROM {table}").get)
        for table in ("words_docsize", "phones", "line")
    ]
    connection.close()
    return found


@pytest.mark.parametrize("table", ["line", "phones"])
def test_damage_is_told_and_not_answered(tmp_path: Path, table: str) -> None:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        collection = catalog.create("told", space(), SEGMENTATION, texts=KEPT)
        add(collection, said("a", "one", phones="w ʌ n"))
    (path,) = tmp_path.rglob("rows.db")
    connection = apsw.Connection(str(path))
    column = "units" if table == "line" else "data"
    connection.execute(f"UPDATE {table} SET {column} = zeroblob(length({column}))")
    connection.close()
    with (
        Catalog(tmp_path / "data", SMALL) as catalog,
        pytest.raises(DataLoss, match="texts of 'a'"),
    ):
        phones(catalog.get("told"), "w ʌ n")


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (Line("a b", ()), "lines[0].units"),
        (Line("a b", (TextUnit("c", Span(0, 5)),)), "lines[0].units[0].text"),
        (
            Line("a b", (TextUnit("b", Span(0, 5)), TextUnit("a", Span(5, 6)))),
            "lines[0].units[1].text",
        ),
        (Line("a b", (TextUnit("a", Span(5, 5)),)), "lines[0].units[0].span"),
        (Line("a b", (TextUnit("a", Span(0, 10_001)),)), "lines[0].units[0].span"),
        (Line("a b", (TextUnit("", Span(0, 1)),)), "lines[0].units[0].text"),
        (Line("\ud800", (TextUnit("\ud800", Span(0, 1)),)), "lines[0].text"),
    ],
)
def test_a_line_that_is_not_of_its_recording_is_refused(
    keeping: Collection, made: Line, field: str
) -> None:
    item = replace(said("a"), lines=(made,))
    failure = keeping.add([item], mode=UPSERT).failures[0]
    assert isinstance(failure, InvalidArgument)
    assert failure.field == field


SYMBOLS = ["p", "t", "a", "i", "s"]


@settings(max_examples=30, deadline=None)
@given(
    kept=st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=12), max_size=8),
    query=st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4),
    k=st.integers(1, 5),
)
def test_hits_are_what_aligning_every_recording_by_itself_finds(
    tmp_path_factory: pytest.TempPathFactory, kept: list[list[str]], query: list[str], k: int
) -> None:
    with Catalog(tmp_path_factory.mktemp("any") / "data", SMALL) as catalog:
        collection = catalog.create("told", space(), SEGMENTATION, texts=KEPT)
        add(collection, *(said(f"r{n}", phones=" ".join(each)) for n, each in enumerate(kept)))
        found = phones(collection, " ".join(query), k, group=True)
    table = matching.costs(query, SYMBOLS)
    numbers = [np.array([SYMBOLS.index(each) for each in heard], np.uint16) for heard in kept]
    scores = [float(matching.scores(table, [each])[0]) for each in numbers]
    best = sorted((-score, n) for n, score in enumerate(scores) if score > 0)[:k]
    assert [(hit.id, hit.score) for hit in found] == [(f"r{n}", -score) for score, n in best]
    for hit in found:
        assert 0 <= hit.span.start < hit.span.end <= 12 * LENGTH
