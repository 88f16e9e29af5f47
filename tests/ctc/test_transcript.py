"""A transcript says what was said, when, and how surely."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc import (
    Calibration,
    ConfidenceMeasure,
    align_text,
    low_confidence,
    text,
    transcribe,
)
from embedsvc.ctc.confidence import geometric_mean
from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.types import DecodeOptions, Floats, HotWord, Span, Vocabulary
from tests.ctc.made import PHONES, TEXT, noise, normalized, said, totals

SEEDS = st.integers(0, 999)
FRAMES = st.integers(0, 40)


def test_greedy_text_has_its_words_and_their_times() -> None:
    segment = transcribe(said(".aab.bb|.n..", TEXT), TEXT, frame=10, start=100)
    assert segment.text == "abb n"
    assert [word.span for word in segment.words] == [Span(110, 170), Span(190, 200)]
    assert [token.span for token in segment.words[0].tokens] == [
        Span(110, 130), Span(130, 140), Span(150, 170),
    ]  # fmt: skip
    assert segment.span == Span(100, 220)


def test_each_phone_is_a_word() -> None:
    segment = transcribe(said("a.aʃ", PHONES), PHONES)
    assert segment.text == "a a ʃ"
    assert [len(word.tokens) for word in segment.words] == [1, 1, 1]


@settings(deadline=None)
@given(SEEDS, FRAMES, st.integers(1, 640), st.integers(0, 10**6))
def test_tokens_follow_each_other_within_the_span(
    seed: int, frames: int, frame: int, start: int
) -> None:
    segment = transcribe(noise(seed, frames, 7, 3), TEXT, frame=frame, start=start)
    spans = [token.span for word in segment.words for token in word.tokens]
    assert segment.span == Span(start, start + frames * frame)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert all(start <= span.start < span.end <= segment.span.end for span in spans)
    assert "".join(segment.text.split()) == "".join(
        token.text for word in segment.words for token in word.tokens
    )


@settings(deadline=None)
@given(SEEDS, FRAMES, st.integers(0, 10**6))
def test_a_later_start_only_shifts(seed: int, frames: int, start: int) -> None:
    log_probs = noise(seed, frames, 7, 3)
    here, there = transcribe(log_probs, TEXT), transcribe(log_probs, TEXT, start=start)
    assert (here.text, here.confidence) == (there.text, there.confidence)
    assert [
        (word.span.start + start, word.span.end + start, word.confidence) for word in here.words
    ] == [(word.span.start, word.span.end, word.confidence) for word in there.words]


@pytest.mark.parametrize("measure", ConfidenceMeasure)
def test_blanks_alone_are_an_empty_text_that_is_sure(measure: ConfidenceMeasure) -> None:
    calibration = Calibration(measure)
    sure = transcribe(said("....", TEXT, 20), TEXT, calibration=calibration)
    unsure = transcribe(said("....", TEXT, 1), TEXT, calibration=calibration)
    assert sure.text == unsure.text == ""
    assert sure.words == unsure.words == ()
    assert 0 < unsure.confidence < 0.5
    assert 0.95 < sure.confidence <= 1


def test_no_frames_say_nothing() -> None:
    segment = transcribe(noise(0, 0, 7), TEXT, start=320)
    assert (segment.text, segment.span, segment.confidence) == ("", Span(320, 320), 1)


@settings(deadline=None)
@given(SEEDS, FRAMES, st.sampled_from(ConfidenceMeasure))
def test_confidence_is_in_bounds_and_a_geometric_mean(
    seed: int, frames: int, measure: ConfidenceMeasure
) -> None:
    segment = transcribe(noise(seed, frames, 7, 3), TEXT, calibration=Calibration(measure))
    assert segment.method == f"{measure}/v1"
    for word in segment.words:
        each = [token.confidence for token in word.tokens]
        assert all(0 < confidence <= 1 for confidence in each)
        assert word.confidence == pytest.approx(geometric_mean(each))
        assert min(each) * 0.999 <= word.confidence <= max(each) * 1.001
        assert all(token.log_prob < 1e-6 and 0 <= token.entropy <= 1 for token in word.tokens)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 20), st.sampled_from(ConfidenceMeasure), st.floats(1.1, 4))
def test_what_is_sharper_is_surer(
    seed: int, frames: int, measure: ConfidenceMeasure, sharper: float
) -> None:
    log_probs = noise(seed, frames, 7, 2)
    calibration = Calibration(measure)
    plain = transcribe(log_probs, TEXT, calibration=calibration)
    sharp = transcribe(normalized(log_probs * sharper), TEXT, calibration=calibration)
    assert plain.text == sharp.text
    for before, after in zip(plain.words, sharp.words, strict=True):
        assert before.confidence <= after.confidence + 1e-6


def test_a_long_word_of_unsure_tokens_is_not_impossible() -> None:
    unsure = transcribe(said("abn" * 400, TEXT, 2), TEXT)
    (word,) = unsure.words
    assert len(word.tokens) == 1200
    assert word.confidence > 1e-6
    assert geometric_mean([1e-300] * 1000) > 0


def test_infinity_is_a_probability_of_zero() -> None:
    log_probs = np.full((2, 4), -np.inf, np.float32)
    log_probs[:, 1] = 0
    (word,) = transcribe(log_probs, PHONES, DecodeOptions(alternatives=3)).words
    assert word.confidence == 1
    assert [each.probability for each in word.tokens[0].alternatives] == [0, 0]


@settings(deadline=None)
@given(SEEDS, st.integers(1, 3))
def test_alternatives_are_the_next_likeliest_labels(seed: int, count: int) -> None:
    log_probs = noise(seed, 1, 4)
    segment = transcribe(log_probs, PHONES, DecodeOptions(alternatives=count))
    order = [place for place in np.argsort(-log_probs[0]).tolist() if place != PHONES.blank]
    for word in segment.words:
        told = word.tokens[0].alternatives
        assert [each.text for each in told] == [PHONES.labels[p] for p in order[1 : 1 + count]]
        assert [each.probability for each in told] == pytest.approx(
            [float(np.exp(log_probs[0, p])) for p in order[1 : 1 + count]], rel=1e-5
        )


def test_a_temperature_makes_less_sure_and_leaves_the_text() -> None:
    log_probs = said("a.bn|n", TEXT)
    plain, cool = (
        transcribe(log_probs, TEXT, calibration=Calibration(temperature=heat)) for heat in (1, 2)
    )
    assert plain.text == cool.text
    assert plain.confidence > cool.confidence
    assert cool.method == "probability+temperature/v1"
    assert plain.words[0].tokens[0].log_prob == cool.words[0].tokens[0].log_prob


def test_words_below_the_threshold_are_joined_where_they_are_neighbors() -> None:
    parts = [("a|", 9), ("b|", 1.5), ("n|", 1.5), ("a|", 9), ("b", 1.5)]
    log_probs: Floats = np.concatenate([said(path, TEXT, sure) for path, sure in parts])
    segment = transcribe(log_probs, TEXT, frame=1)
    assert segment.text == "a b n a b"
    assert low_confidence(segment, 0.7) == (Span(2, 5), Span(8, 9))
    assert low_confidence(segment, 0) == ()


def test_log_probabilities_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(TensorShape):
        transcribe(noise(0, 5, 6), TEXT)


def test_other_texts_are_told_best_first_and_none_twice() -> None:
    log_probs = said("a.b|n.", TEXT, 2)
    segment = transcribe(log_probs, TEXT, DecodeOptions(beam=32, texts=4))
    texts = [segment.text, *(other.text for other in segment.others)]
    assert len(set(texts)) == len(texts) == 4
    scores = [other.score for other in segment.others]
    assert scores == sorted(scores, reverse=True)
    assert transcribe(log_probs, TEXT, DecodeOptions(beam=32)).others == ()
    assert len(transcribe(log_probs, TEXT, DecodeOptions(texts=4)).others) == 3


SILENT = Vocabulary(("", "a", "|", "</s>"), 0, 2, frozenset({3}))


@settings(deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_a_text_is_as_likely_as_all_the_ways_to_write_it(seed: int, frames: int) -> None:
    log_probs = noise(seed, frames, 4)
    expected: dict[str, float] = {}
    for labels, probability in totals(log_probs, 0).items():
        written = text(labels, SILENT)
        expected[written] = expected.get(written, 0) + probability
    best, *others = sorted(expected, key=lambda each: -expected[each])
    segment = transcribe(log_probs, SILENT, DecodeOptions(beam=1024, texts=1024))
    assert segment.text == best
    assert [other.text for other in segment.others] == others
    assert [np.exp(other.score) for other in segment.others] == pytest.approx(
        [expected[other] for other in others], rel=1e-5
    )


def test_hot_words_are_searched_for_without_a_beam() -> None:
    log_probs = said("a.b|", TEXT, 2)
    hot = (HotWord("an", 4),)
    assert transcribe(log_probs, TEXT, DecodeOptions(hot_words=hot)).text == "an"
    assert transcribe(log_probs, TEXT).text == "ab"


@settings(deadline=None)
@given(SEEDS, st.integers(0, 30), st.integers(2, 8))
def test_a_beam_gives_times_to_what_it_finds(seed: int, frames: int, width: int) -> None:
    segment = transcribe(noise(seed, frames, 7, 2), TEXT, DecodeOptions(beam=width), frame=1)
    spans = [token.span for word in segment.words for token in word.tokens]
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert all(0 <= span.start < span.end <= frames for span in spans)
    assert segment.text == " ".join(word.text for word in segment.words)


@pytest.mark.parametrize("measure", ConfidenceMeasure)
def test_a_hot_word_against_the_head_is_not_told_as_sure(measure: ConfidenceMeasure) -> None:
    log_probs = said("a.b.n", TEXT, 8)
    log_probs[2, 3] = log_probs[2, 2] - 3
    log_probs = normalized(log_probs)
    hot = DecodeOptions(beam=8, hot_words=(HotWord("ann", 4),))
    calibration = Calibration(measure)
    plain = transcribe(log_probs, TEXT, calibration=calibration)
    boosted = transcribe(log_probs, TEXT, hot, calibration=calibration)
    assert (plain.text, boosted.text) == ("abn", "ann")
    assert boosted.words[0].tokens[1].confidence < plain.words[0].tokens[1].confidence / 5


@settings(deadline=None)
@given(SEEDS, st.integers(0, 30), st.integers(1, 6))
def test_a_head_taught_by_frames_is_searched_as_it_is_read_greedily(
    seed: int, frames: int, width: int
) -> None:
    log_probs = noise(seed, frames, 7, 2)
    options = DecodeOptions(beam=width, hot_words=(HotWord("nab", 0),))
    found = transcribe(log_probs, TEXT, options, summed=False)
    assert found == transcribe(log_probs, TEXT)


def test_a_known_text_has_its_times() -> None:
    segment = align_text("Ab, n!", said("a.b|n.", TEXT), TEXT, frame=10)
    heard = transcribe(said("a.b|n.", TEXT), TEXT, frame=10)
    assert (segment.text, segment.span) == (heard.text, heard.span)
    assert [word.span for word in segment.words] == [word.span for word in heard.words]
    assert segment.method == "alignment/v1"
    token = segment.words[0].tokens[0]
    assert token.confidence == pytest.approx(np.exp(token.log_prob))
    assert align_text("ab b", said("a.b|n.", TEXT), TEXT).confidence < segment.confidence / 2


def test_a_known_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        InvalidArgument, match="`text` must fit into the frames, but its 4 labels need 4 frames"
    ) as refusal:
        align_text("abna", said("abn", TEXT), TEXT)
    assert refusal.value.field == "text"


def test_a_star_in_a_known_text_is_anything_that_is_said() -> None:
    log_probs = said(".bnb|nn|a.b|n.", TEXT, 8)
    segment = align_text("* a", log_probs[:9], TEXT, frame=1)
    assert [(word.text, word.span) for word in segment.words] == [("a", Span(8, 9))]
    segment = align_text("bnb * ab*", log_probs, TEXT, frame=1)
    assert [(word.text, word.span) for word in segment.words] == [
        ("bnb", Span(1, 4)),
        ("ab", Span(8, 11)),
    ]
    assert segment.text == "bnb ab"
    assert align_text("bnb ab", log_probs, TEXT).confidence < segment.confidence / 2
    with pytest.raises(InvalidArgument, match="nothing"):
        align_text("* *", log_probs, TEXT)


def test_a_star_between_phones_is_not_written() -> None:
    segment = align_text("a * ʃ", said("a.tttʃ".replace("t", "a"), PHONES), PHONES)
    assert segment.text == "a ʃ"
