# ruff: noqa: RUF001  # IPA looks like other letters, and must
"""Phones of transcripts."""

import pytest

from embedsvc.errors import FeatureDisabled
from embedsvc.pipeline import sounding
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.scribing import Scribe, chosen, stored
from embedsvc.texts import pronouncing
from embedsvc.texts.pronouncing import pronounced
from embedsvc.types import HeadKind, Line, Span, TextHead, Texts, TextUnit
from tests.texts.test_pronouncing import spoken

KEPT = Texts((sounding.HEAD,))


def line(text: str, language: str = "") -> Line:
    """A transcript of which each word lasts a second."""
    units = (
        TextUnit(word, Span(at * 16_000, (at + 1) * 16_000)) for at, word in enumerate(text.split())
    )
    return Line(text, tuple(units), language=language)


@spoken
def test_phones_have_the_times_of_their_words() -> None:
    (found,) = sounding.lines_of([line("Hallo, Welt!", "de")])
    assert (found.text, found.head, found.kind) == (
        "h a l oː v ɛ l t",
        "transcript:phones",
        HeadKind.PHONES,
    )
    assert [unit.span.start for unit in found.units] == [0] * 4 + [16_000] * 4


@spoken
def test_phones_of_words_that_are_read_as_others_last_as_long_as_their_line() -> None:
    (found,) = sounding.lines_of([line("Zimmer 123", "deu")])
    assert {unit.span for unit in found.units} == {Span(0, 32_000)}
    assert len(found.units) > 15


@spoken
def test_each_line_is_said_in_its_own_language_if_there_is_a_voice() -> None:
    lines = [line("rat", "deu"), line("rat", "eng"), line("a"), line("a", "yor"), line("!", "deu")]
    german, english = (" ".join(pronounced("rat", code)) for code in ("deu", "eng"))
    assert german != english
    assert [found.text for found in sounding.lines_of(lines)] == [german, english]


@spoken
def test_a_collection_keeps_them_only_where_it_says_so() -> None:
    told = [line("Hallo", "deu"), Line.untimed("Welt", "deu")]
    assert [each.head for each in stored(KEPT, told, 99)] == ["", "", *(KEPT.heads[0].name,) * 2]
    assert {unit.span for unit in stored(KEPT, told, 99)[-1].units} == {Span(0, 99)}
    assert [each.head for each in stored(Texts(), told, 99)] == ["", ""]


@spoken
def test_it_is_chosen_as_a_head_and_hears_nothing() -> None:
    assert chosen(Heads(()), ["transcript:phones"]) == KEPT
    assert Scribe(Heads(()), KEPT).lines(100) == ()
    assert TextHead("transcript:phones", HeadKind.PHONES) == sounding.HEAD


def test_without_espeak_no_collection_is_made_that_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pronouncing, "_library", lambda: ("/nowhere/libespeak-ng.so", ""))
    with pytest.raises(FeatureDisabled, match="espeak-ng"):
        chosen(Heads(()), ["transcript:phones"])
