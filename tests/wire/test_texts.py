import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    HeadKind,
    Line,
    Span,
    TextHead,
    TextHit,
    Texts,
    TextScores,
    TextUnit,
)
from embedsvc.v1 import collection_pb2, types_pb2
from embedsvc.wire import texts, times

spans = st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)
lines = st.lists(st.tuples(st.text("abc", min_size=1), spans), min_size=1, max_size=5).map(
    lambda units: Line(
        " ".join(text for text, _ in units), tuple(TextUnit(text, span) for text, span in units)
    )
)


def same(left: Line, right: Line) -> bool:
    """Confidences aside, which are NaN."""
    return (left.text, left.head, left.kind) == (right.text, right.head, right.kind) and [
        (unit.text, unit.span) for unit in left.units
    ] == [(unit.text, unit.span) for unit in right.units]


@given(lines)
def test_a_line_goes_over_the_wire_and_comes_back(line: Line) -> None:
    (back,) = texts.transcript([texts.transcript_message(line)])
    assert same(back, line)
    assert same(texts.line(texts.line_message(line)), line)


def test_a_stored_line_is_of_what_its_head_writes() -> None:
    kept = Texts((TextHead("p", HeadKind.PHONES), TextHead("w", HeadKind.TEXT)))
    line = Line("a b", (TextUnit("a", Span(0, 1)), TextUnit("b", Span(1, 2))), "p", HeadKind.PHONES)
    assert same(texts.line(texts.line_message(line), kept), line)
    assert texts.texts(texts.texts_message(kept)) == kept


def test_without_words_each_lasts_as_long_as_the_stretch() -> None:
    message = collection_pb2.TranscriptLine(
        text="so  it is", span=times.span_message(Span(0, 16_000))
    )
    (line,) = texts.transcript([message])
    assert [(unit.text, unit.span) for unit in line.units] == [
        (word, Span(0, 16_000)) for word in ("so", "it", "is")
    ]


def test_a_text_that_nobody_timed_is_sent_without_times() -> None:
    line = Line.untimed("so  it is", "en")
    message = texts.transcript_message(line)
    assert not message.HasField("span")
    assert not message.words
    (back,) = texts.transcript([message])
    assert same(back, line)
    assert back.language == "en"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (
            collection_pb2.TranscriptLine(text="a", span=types_pb2.TimeSpan()),
            "transcript[0].span",
        ),
        (
            collection_pb2.TranscriptLine(span=times.span_message(Span(0, 160))),
            "transcript[0].text",
        ),
        (
            collection_pb2.TranscriptLine(
                text="a", words=[collection_pb2.TranscriptWord(text="a")]
            ),
            "transcript[0].words[0].span",
        ),
    ],
)
def test_a_line_without_text_or_time_is_refused(
    message: collection_pb2.TranscriptLine, field: str
) -> None:
    with pytest.raises(InvalidArgument) as error:
        texts.transcript([message])
    assert error.value.field == field


@pytest.mark.parametrize("confidence", [0.5, math.nan])
def test_a_hit_says_what_each_ranking_gave_it(confidence: float) -> None:
    hit = TextHit(
        "a", 0.5, Span(160, 320), {"n": 1}, "guten Tag", "p", confidence, TextScores(phones=0.25)
    )
    message = texts.hit_message(hit)
    assert not message.HasField("word_score")
    back = texts.hit(message)
    assert (back.scores, back.text, back.span) == (hit.scores, hit.text, hit.span)
    assert math.isnan(back.confidence) == math.isnan(confidence)
