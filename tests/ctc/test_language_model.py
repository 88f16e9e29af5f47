"""A beam with a language model finds what adding up all alignments and the model's scores finds."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc.kenlm import KenLm
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.lexicon import sounding_words, written_words
from embedsvc.ctc.runs import Labels
from embedsvc.ctc.search import MOST_WIDTH, beam
from embedsvc.ctc.vocabulary import text
from embedsvc.types import Floats, HotWord, Vocabulary
from tests.ctc import spoken
from tests.ctc.made import noise, totals

SEEDS = st.integers(0, 999)
SPACED = Vocabulary(("", "a", "b", "|"), 0, 3)
SIGNS = Vocabulary(("", "a", "b", "n"), 0)
WORDS = ["a", "ab", "ba", "nab"]
EVERY = MOST_WIDTH
WEIGHTS = st.tuples(st.floats(0, 2), st.floats(-2, 2), st.floats(-5, 0), st.booleans())


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> KenLm:
    return KenLm(spoken.write(tmp_path_factory.mktemp("lm")), WORDS)


@pytest.fixture(scope="module")
def spaced(scorer: KenLm) -> LanguageModel:
    return LanguageModel(written_words(WORDS, SPACED), Parting.SPACE, scorer)


def by_text(log_probs: Floats, vocabulary: Vocabulary, blank: int = 0) -> dict[str, float]:
    """Log-probability of every text, added over all its labels and alignments."""
    found: dict[str, float] = defaultdict(float)
    for labels, total in totals(log_probs, blank).items():
        found[text(labels, vocabulary)] += total
    return {written: math.log(total) for written, total in found.items() if total}


def searched(
    log_probs: Floats, vocabulary: Vocabulary, model: LanguageModel, hot: tuple[HotWord, ...] = ()
) -> dict[str, float]:
    """The same as a beam of all prefixes finds it, with a model."""
    found: dict[str, float] = {}
    best: dict[tuple[str, Labels], float] = {}
    for each in beam(log_probs, vocabulary, EVERY, hot, EVERY, pruned=0, model=model):
        if each.words is None:
            written = text(each.labels, vocabulary)
        else:
            written = " ".join(word for word, _ in each.words)
        # The same labels, read as the same words in two ways, were said once.
        best.setdefault((written, each.labels), each.score)
    for (written, _), score in best.items():
        found[written] = float(np.logaddexp(found.get(written, -np.inf), score))
    return found


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.integers(1, 4), WEIGHTS)
def test_every_text_scores_what_is_heard_and_what_the_model_says(
    spaced: LanguageModel, seed: int, frames: int, weights: tuple[float, float, float, bool]
) -> None:
    weight, bonus, unknown, boundary = weights
    model = replace(spaced, weight=weight, bonus=bonus, unknown=unknown, boundary=boundary)
    log_probs = noise(seed, frames, 4)
    expected = {
        written: heard
        + spoken.sentence_score(
            spoken.BIGRAMS,
            written.split(),
            weight=weight,
            bonus=bonus,
            unknown=unknown,
            boundary=boundary,
        )
        for written, heard in by_text(log_probs, SPACED).items()
    }
    assert searched(log_probs, SPACED, model) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.integers(1, 4), st.floats(0, 2))
def test_without_spaces_each_label_is_a_word(
    scorer: KenLm, seed: int, frames: int, weight: float
) -> None:
    model = LanguageModel(written_words(WORDS, SIGNS), Parting.LABEL, scorer, weight, unknown=-2)
    log_probs = noise(seed, frames, 4)
    expected = {
        written: heard
        + spoken.sentence_score(
            spoken.BIGRAMS, written.split(), weight=weight, bonus=1.5, unknown=-2
        )
        for written, heard in by_text(log_probs, SIGNS).items()
    }
    assert searched(log_probs, SIGNS, model) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.integers(0, 30), st.integers(1, 8))
def test_a_model_without_weight_changes_nothing(
    spaced: LanguageModel, seed: int, frames: int, width: int
) -> None:
    log_probs = noise(seed, frames, 4, 2)
    plain = beam(log_probs, SPACED, width, (), width)
    found = beam(log_probs, SPACED, width, (), width, model=replace(spaced, weight=0.0, bonus=0.0))
    assert [each.labels for each in found] == [each.labels for each in plain]
    assert [each.score for each in found] == pytest.approx([each.score for each in plain])


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.integers(1, 5), st.floats(0, 2))
def test_a_closed_lexicon_allows_only_its_words(
    spaced: LanguageModel, seed: int, frames: int, weight: float
) -> None:
    log_probs = noise(seed, frames, 4)
    expected = {
        written: heard
        + spoken.sentence_score(
            spoken.BIGRAMS, written.split(), weight=weight, bonus=1.5, unknown=0
        )
        for written, heard in by_text(log_probs, SPACED).items()
        if set(written.split()) <= set(WORDS)
    }
    model = replace(spaced, weight=weight, closed=True)
    assert searched(log_probs, SPACED, model) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=15)
@given(
    SEEDS,
    st.integers(1, 5),
    st.floats(-1, 1),
    st.sets(
        st.tuples(
            st.sampled_from("xyz"), st.lists(st.integers(1, 2), min_size=1, max_size=3).map(tuple)
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_phones_are_read_as_every_sequence_of_listed_words(
    seed: int, frames: int, bonus: float, entries: set[tuple[str, tuple[int, ...]]]
) -> None:
    vocabulary = Vocabulary(("", "p", "q"), 0)
    log_probs = noise(seed, frames, 3)
    listed = sorted(entries)
    expected: dict[str, float] = {}
    for labels, total in totals(log_probs, 0).items():
        for written, count in dict(readings(labels, listed)).items():
            score = math.log(total) + bonus * count
            expected[written] = float(np.logaddexp(expected.get(written, -np.inf), score))
    lexicon = sounding_words(listed, vocabulary)
    one = {labels for _, labels in listed}
    model = LanguageModel(lexicon, Parting.SOUND, bonus=bonus, closed=True)
    found = searched(log_probs, vocabulary, model)
    if len(one) == len(listed):  # no two sound alike
        assert found == pytest.approx(expected, abs=1e-4)
    assert found.keys() <= expected.keys()


def readings(labels: Labels, listed: list[tuple[str, Labels]]) -> list[tuple[str, int]]:
    """Every way to part labels into words, written, and of how many words."""
    if not labels:
        return [("", 0)]
    return [
        (f"{word} {rest}".strip(), 1 + count)
        for word, own in listed
        if labels[: len(own)] == own
        for rest, count in readings(labels[len(own) :], listed)
    ]
