# ruff: noqa: RUF001  # IPA looks like other letters, and must

import pytest

from embedsvc.batching import MAIN
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.scribing import Scribe, alike, chosen, lines_of, timed
from embedsvc.pipeline.tally import Tally
from embedsvc.types import (
    HeadKind,
    Line,
    Span,
    TextHead,
    Texts,
    TextUnit,
    Token,
    TranscriptSegment,
    Word,
)

TEXT = TextHead("words", HeadKind.TEXT)
PHONES = TextHead("phones", HeadKind.PHONES)
FRAME = 320


def segment(text: str, start: int, tokens: bool = False) -> TranscriptSegment:  # of a table
    """Words, each as many frames long as it has letters, and with `tokens` for each letter."""
    words = []
    at = start
    for part in text.split():
        letters = [
            Token(letter, Span(at + n * FRAME, at + (n + 1) * FRAME), 0.5, -0.1, 0.1)
            for n, letter in enumerate(part)
        ]
        span = Span(at, at + len(part) * FRAME)
        words.append(Word(part, span, 0.75, tuple(letters) if tokens else ()))
        at = span.end
    return TranscriptSegment(text, Span(start, at), 0.5, "entropy/v1", tuple(words))


def test_each_segment_of_words_is_a_line() -> None:
    found = lines_of([segment("so it", 0), segment("goes", 5_000)], TEXT, 100_000)
    assert [line.text for line in found] == ["so it", "goes"]
    assert [unit.text for line in found for unit in line.units] == ["so", "it", "goes"]
    assert found[1].units[0] == TextUnit("goes", Span(5_000, 5_000 + 4 * FRAME), 0.75)
    assert {(line.head, line.kind) for line in found} == {("words", HeadKind.TEXT)}


def test_phones_of_a_recording_are_one_line_across_pauses() -> None:
    (line,) = lines_of([segment("h a l oː", 0), segment("v ɛ", 9_000)], PHONES, 100_000)
    assert (line.text, len(line.units), line.kind) == ("h a l oː v ɛ", 6, HeadKind.PHONES)
    assert lines_of([], PHONES, 100) == ()


def test_letters_of_a_script_without_spaces_have_their_own_times() -> None:
    (line,) = lines_of([segment("我们 go", 0, tokens=True)], TEXT, 100_000)
    assert [(unit.text, unit.span.start) for unit in line.units] == [
        ("我", 0),
        ("们", FRAME),
        ("go", 2 * FRAME),
    ]


def test_no_unit_lies_outside_of_the_recording() -> None:
    (line,) = lines_of([segment("abc de", 0)], TEXT, 3 * FRAME - 100)
    assert [unit.span for unit in line.units] == [Span(0, 3 * FRAME - 100)]


def test_a_head_that_the_model_lacks_is_named() -> None:
    with pytest.raises(FailedPrecondition, match="written down by head 'words'"):
        Scribe(Heads(()), Texts((TEXT,)))
    with pytest.raises(InvalidArgument, match="must not be empty"):
        chosen(Heads(()), [""])
    assert chosen(Heads(()), []) == Texts()


def test_without_heads_nothing_else_takes_the_pass() -> None:
    tally = Tally([3])
    scribe = Scribe(Heads(()), None)
    assert scribe.beside(tally) == [tally]
    assert scribe.bodies == {MAIN: ""}
    assert scribe.lines(100) == ()


def test_transcripts_are_alike_by_words_and_times() -> None:
    one = Line("a", (TextUnit("a", Span(0, 1)),))
    assert alike([one], [Line("a", (TextUnit("a", Span(0, 1), 0.5),))])
    assert not alike([one], [Line("a", (TextUnit("a", Span(0, 2)),))])
    assert not alike([one], [])


def test_what_nobody_timed_lasts_as_long_as_the_recording() -> None:
    known = Line("a", (TextUnit("a", Span(0, 1)),))
    spoken = timed([known, Line.untimed("so it is")], 500)
    assert spoken[0] == known
    assert [(unit.text, unit.span) for unit in spoken[1].units] == [
        (word, Span(0, 500)) for word in ("so", "it", "is")
    ]
    assert spoken[1].text == "so it is"
