"""Beam search finds what adding up all alignments finds."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc.runs import greedy, labels_of
from embedsvc.ctc.search import MOST_BEGUN, MOST_WIDTH, beam
from embedsvc.errors import InvalidArgument
from embedsvc.types import HotWord, Vocabulary
from tests.ctc.made import PHONES, TEXT, noise, said, totals

SEEDS = st.integers(0, 999)
TINY = Vocabulary(("", "a", "b"), 0)
SPACED = Vocabulary(("a", "", " "), 1, 2)
EVERY = MOST_WIDTH


@settings(deadline=None)
@given(SEEDS, st.integers(0, 5), st.sampled_from([0.5, 2, 5]))
def test_a_wide_beam_finds_every_label_sequence_and_its_probability(
    seed: int, frames: int, sharpness: float
) -> None:
    log_probs = noise(seed, frames, 3, sharpness)
    expected = totals(log_probs, 0)
    found = {
        each.labels: np.exp(each.score)
        for each in beam(log_probs, TINY, EVERY, (), EVERY, pruned=0)
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 4))
def test_the_best_come_first(seed: int, frames: int, count: int) -> None:
    log_probs = noise(seed, frames, 3)
    expected = sorted(totals(log_probs, 0).values(), reverse=True)[:count]
    found = beam(log_probs, TINY, EVERY, (), count, pruned=0)
    assert [np.exp(each.score) for each in found] == pytest.approx(expected, rel=1e-4)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 30), st.integers(1, 4), st.integers(1, 12))
def test_no_beam_tells_more_than_is_likely_and_none_twice(
    seed: int, frames: int, count: int, width: int
) -> None:
    found = beam(noise(seed, frames, 4, 2), PHONES, width, (), count)
    assert 1 <= len(found) <= count
    assert len({each.labels for each in found}) == len(found)
    assert sum(np.exp(each.score) for each in found) <= 1 + 1e-5
    assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)


def test_what_is_likely_in_many_ways_beats_the_best_path() -> None:
    # Graves et al. 2006: the best path is all blank, but `a` has three paths that add up to more.
    log_probs = np.log(np.array([[0.6, 0.4, 1e-9]] * 2, np.float32))
    assert labels_of(greedy(log_probs, 0)) == ()
    (found,) = beam(log_probs, TINY, 4)
    assert found.labels == (1,)
    assert np.exp(found.score) == pytest.approx(0.64, rel=1e-4)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 40))
def test_a_sure_head_is_read_as_greedily(seed: int, frames: int) -> None:
    path = "".join(np.random.default_rng(seed).choice(list(".abn|"), frames))
    log_probs = said(path, TEXT, 12)
    (found,) = beam(log_probs, TEXT, 4)
    assert found.labels == labels_of(greedy(log_probs, 0))


def occurrences(word: tuple[str, ...], labels: tuple[str, ...]) -> int:
    return sum(labels[at : at + len(word)] == word for at in range(len(labels)))


@settings(deadline=None)
@given(
    SEEDS,
    st.integers(1, 5),
    st.dictionaries(st.text("ab", min_size=1, max_size=3), st.floats(-2, 3), max_size=4),
)
def test_phones_have_the_boost_of_each_hot_word_in_them(
    seed: int, frames: int, boosts: dict[str, float]
) -> None:
    log_probs = noise(seed, frames, 3)
    hot = tuple(HotWord(text, boost) for text, boost in boosts.items())
    expected = {}
    for labels, total in totals(log_probs, 0).items():
        spelled = tuple(TINY.labels[label] for label in labels)
        bonus = sum(
            boost * len(text) * occurrences(tuple(text), spelled) for text, boost in boosts.items()
        )
        expected[labels] = np.log(total) + bonus
    found = {each.labels: each.score for each in beam(log_probs, TINY, EVERY, hot, EVERY, pruned=0)}
    assert found == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(
    SEEDS,
    st.integers(1, 5),
    st.dictionaries(
        st.sampled_from(["a", "aa", "aaa", "a a", "aa a"]), st.floats(-2, 3), max_size=4
    ),
)
def test_words_have_the_boost_only_where_they_are_whole(
    seed: int, frames: int, boosts: dict[str, float]
) -> None:
    log_probs = noise(seed, frames, 3)
    hot = tuple(HotWord(text, boost) for text, boost in boosts.items())
    expected = {}
    for labels, total in totals(log_probs, 1).items():
        spelled = tuple(" " + "".join(SPACED.labels[label] for label in labels) + " ")
        bonus = sum(
            boost * text.count("a") * occurrences(tuple(f" {text} "), spelled)
            for text, boost in boosts.items()
        )
        expected[labels] = np.log(total) + bonus
    found = {
        each.labels: each.score for each in beam(log_probs, SPACED, EVERY, hot, EVERY, pruned=0)
    }
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_hot_word_wins_where_the_head_is_in_doubt() -> None:
    log_probs = said("a.b|n.n", TEXT)
    log_probs[2] = np.log(np.array([0.01, 0.01, 0.5, 0.45, 0.01, 0.01, 0.01]))
    assert beam(log_probs, TEXT, 8)[0].labels == (1, 2, 4, 3, 3)
    assert beam(log_probs, TEXT, 8, [HotWord("An", 1)])[0].labels == (1, 3, 4, 3, 3)


def test_hopes_for_a_long_word_do_not_drive_out_what_was_said() -> None:
    log_probs = said("a.b|", TEXT, 2)
    (plain,) = beam(log_probs, TEXT, 16)
    (found,) = beam(log_probs, TEXT, 16, [HotWord("nnn", 6)])
    assert found.labels == plain.labels
    assert found.score == pytest.approx(plain.score, abs=0.1)


def test_silent_labels_do_not_part_a_hot_word() -> None:
    log_probs = said("a.b", TEXT)
    log_probs[1] = np.where(np.arange(7) == 5, 0, -np.inf)
    (found,) = beam(log_probs, TEXT, 8, [HotWord("ab", 1)])
    assert found.labels == (1, 5, 2)
    assert found.score == pytest.approx(beam(log_probs, TEXT, 8)[0].score + 2)


@pytest.mark.parametrize(
    ("word", "field"),
    [(HotWord("xyz"), "hot_words[1].text"), (HotWord("ab", 1e9), "hot_words[1].boost")],
)
def test_a_hot_word_that_cannot_be_written_is_named(word: HotWord, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        beam(noise(0, 3, 7), TEXT, 4, [HotWord("ab"), word])
    assert caught.value.field == field


def test_more_hot_words_than_memory_allows_are_refused() -> None:
    wide = Vocabulary(("", *map(chr, range(0x4E00, 0x9E00))), 0)
    words = [HotWord(wide.labels[place]) for place in range(1, 1000)]
    with pytest.raises(InvalidArgument, match="letters together"):
        beam(np.full((1, len(wide.labels)), -9, np.float32), wide, 4, words)


@pytest.mark.parametrize(("width", "texts"), [(0, 1), (MOST_WIDTH + 1, 1), (4, 0), (1, 2000)])
def test_a_width_out_of_range_is_refused(width: int, texts: int) -> None:
    with pytest.raises(InvalidArgument, match="`beam`"):
        beam(noise(0, 3, 3), TINY, width, (), texts)


def test_twenty_seconds_are_searched_in_a_fraction_of_one() -> None:
    log_probs = noise(0, 1000, 40, 3)
    vocabulary = Vocabulary(("", *map(chr, range(97, 136))), 0)
    started = time.perf_counter()
    (found,) = beam(log_probs, vocabulary, 16)
    assert time.perf_counter() - started < 2
    assert len(found.labels) > 300


def test_only_the_likeliest_of_very_many_labels_begin() -> None:
    wide = Vocabulary(("", *map(chr, range(0x4E00, 0x4E00 + 9999))), 0)
    log_probs = noise(0, 20, 10_000, 0.3)
    started = time.perf_counter()
    (found,) = beam(log_probs, wide, 64, pruned=0)
    assert time.perf_counter() - started < 2
    likely = np.argsort(-log_probs, axis=1)[:, :MOST_BEGUN].ravel()
    assert found.labels
    assert {*found.labels} <= {*likely.tolist()}
