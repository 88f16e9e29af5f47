"""Transcripts keep everything on their way."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    DecodeOptions,
    HeadInfo,
    HeadKind,
    HotWord,
    Hypothesis,
    LanguageModelInfo,
    Span,
    Token,
    TokenAlternative,
    TranscriptSegment,
    Word,
)
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import transcripts

texts = st.text(st.characters(codec="utf-8"), max_size=9)
shares = st.floats(0, 1, width=32)
spans = st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)).map(
    lambda pair: Span(pair[0], sum(pair))
)
others = st.lists(st.builds(TokenAlternative, texts, shares), max_size=2).map(tuple)
tokens = st.builds(Token, texts, spans, shares, st.floats(-99, 0, width=32), shares, others)
words = st.builds(Word, texts, spans, shares, st.lists(tokens, max_size=3).map(tuple))
segments = st.builds(
    TranscriptSegment,
    texts, spans, shares, texts,
    st.lists(words, max_size=3).map(tuple),
    st.lists(st.builds(Hypothesis, texts, st.floats(-1e9, 1e9)), max_size=2).map(tuple),
)  # fmt: skip


@given(segments)
def test_a_segment_comes_back_as_it_was(segment: TranscriptSegment) -> None:
    message = transcripts.segment_message(segment)
    read = transcription_pb2.TranscriptSegment.FromString(message.SerializeToString())
    assert transcripts.segment(read) == segment


@given(segments)
def test_without_words_the_text_stays(segment: TranscriptSegment) -> None:
    message = transcripts.segment_message(segment, words=False)
    read = transcripts.segment(message)
    assert (read.text, read.span, read.words) == (segment.text, segment.span, ())


def test_a_confidence_that_is_none_is_not_zero() -> None:
    message = transcription_pb2.TranscriptSegment()
    message.span.end.seconds = 1
    assert math.isnan(transcripts.segment(message).confidence)


def test_options_and_heads_come_back_as_they_were() -> None:
    hot = (HotWord("a b", 3.5), HotWord("c"))
    for options in (
        DecodeOptions(8, 3, 2, hot),
        DecodeOptions(8, lm_weight=0.0, word_bonus=-1.5),
        DecodeOptions(8, without_language_model=True),
    ):
        assert transcripts.options(transcripts.options_message(options)) == options
    nothing = transcription_pb2.DecodeOptions()
    assert transcripts.options(nothing) == DecodeOptions()
    assert transcripts.threshold(nothing) == 0.5
    info = HeadInfo("x", HeadKind.TEXT, ("eng",), 32, 0.04, "m/v1", "MIT", {"wer": 0.25})
    known = LanguageModelInfo("lm", 7, True, 0.5, 1.5, "")
    for each in (info, replace(info, language_model=known)):
        assert transcripts.head(transcripts.head_message(each)) == each


@pytest.mark.parametrize("boost", [0.0, -1.0, 21.0, math.nan, math.inf])
def test_a_boost_is_a_small_number(boost: float) -> None:
    hot = transcription_pb2.HotWord(text="a", boost=boost)
    with pytest.raises(InvalidArgument, match="boost"):
        transcripts.options(transcription_pb2.DecodeOptions(beam=4, hot_words=[hot]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("lm_weight", -0.1), ("lm_weight", 11), ("lm_weight", math.nan), ("word_bonus", 21)],
)
def test_weights_of_words_are_small_numbers(name: str, value: float) -> None:
    message = transcription_pb2.DecodeOptions(beam=4)
    setattr(message, name, value)
    with pytest.raises(InvalidArgument, match=f"`options.{name}` must be"):
        transcripts.options(message)
