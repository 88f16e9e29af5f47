"""A beam with a language model finds what adding up all alignments and the model's scores finds."""

import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc.edits import ErrorCounts, word_errors
from embedsvc.ctc.kenlm import KenLm
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.lexicon import sounding_words, written_words
from embedsvc.ctc.runs import Labels
from embedsvc.ctc.search import MOST_WIDTH, beam
from embedsvc.ctc.transcript import transcribe
from embedsvc.ctc.vocabulary import text
from embedsvc.types import DecodeOptions, Floats, HotWord, Span, Vocabulary
from tests.ctc import spoken
from tests.ctc.made import noise, normalized, said, totals

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


PUBLISHED = (
    # Made by pyctcdecode 0.5.0 with kenlm 0.3.0 and numpy 1.26, of the bigrams of `spoken` as ARPA:
    # BeamSearchDecoderCTC(Alphabet.build_alphabet(["", "a", "b", "n", " "]), LanguageModel(
    # kenlm.Model(path), WORDS, alpha=, beta=, unk_score_offset=, score_boundary=)).decode_beams(
    # log_probs, beam_width=100000, beam_prune_logp=-1e9, token_min_logp=-20): text and lm_score.
    # The last frame is a letter, since it scores a space at the end as an unknown word.
    (0, 0.5, 1.5, -10, True, "a ab: -5.2292; ba ab: -5.3392; a a ab: -5.5676; ba a ab: -5.9091"),
    (0, 1.0, 0.0, -2, False, "ba ab: -9.0299; a ab: -9.3805; a a: -10.7864; ba a: -10.9111"),
    (1, 0.5, 1.5, -10, True, "a ab a: -5.5885; ab a: -5.934; nab a: -7.1019; a a: -7.3757"),
    (1, 1.0, 0.0, -2, False, "ab a: -9.0492; ba: -10.4899; nab a: -10.5624; abn: -10.7723"),
    (2, 0.5, 1.5, -10, True, "ab: -2.9715; nab: -3.7957; a ab: -3.9763; ba ab: -6.138"),
    (2, 1.0, 0.0, -2, False, "ab: -4.5866; nab: -5.2957; a ab: -8.1276; a: -8.6008"),
    (3, 1.0, 0.0, -2, False, "ab: -4.2383; nab: -4.5117; a ab: -7.4404; nanb: -9.3509"),
    (4, 1.0, 0.0, -2, False, "ba a: -8.9739; babna: -10.4996; ba a a: -10.9706; ba na: -11.2284"),
    (5, 0.5, 1.5, -10, True, "a ab: -6.7592; nab: -7.0285; a a: -7.1133; a ba: -7.8317"),
    (5, 1.0, 0.0, -2, False, "nab: -8.5285; nabn: -9.4555; ab: -9.576; naan: -9.6516"),
)


@pytest.mark.parametrize(("seed", "weight", "bonus", "unknown", "boundary", "best"), PUBLISHED)
def test_texts_score_as_in_pyctcdecode(
    scorer: KenLm,
    seed: int,
    weight: float,
    bonus: float,
    unknown: float,
    boundary: bool,
    best: str,
) -> None:
    vocabulary = Vocabulary(("", "a", "b", "n", "|"), 0, 4)
    lexicon = written_words(WORDS, vocabulary)
    model = LanguageModel(lexicon, Parting.SPACE, scorer, weight, bonus, unknown, boundary)
    log_probs = noise(seed, 8, 5, 2.0)
    log_probs[-1, [0, 4]] = -30
    found = searched(normalized(log_probs), vocabulary, model)
    expected = {written: float(score) for written, _, score in map(parted, best.split("; "))}
    first = sorted(found, key=lambda written: -found[written])[: len(expected)]
    assert first == list(expected)
    assert {written: found[written] for written in first} == pytest.approx(expected, abs=1e-3)


def parted(text: str) -> tuple[str, str, str]:
    return text.rpartition(": ")


def test_a_hot_word_is_no_unknown_word(spaced: LanguageModel) -> None:
    vocabulary = Vocabulary(("", "a", "b", "n", "|"), 0, 4)
    model = replace(spaced, lexicon=written_words(WORDS, vocabulary))
    log_probs = said(".n.b.|a", vocabulary, 3)
    plain = searched(log_probs, vocabulary, model)
    hot = searched(log_probs, vocabulary, model, (HotWord("NB", 1),))
    assert hot["nb a"] == pytest.approx(plain["nb a"] + 2 + 0.5 * 10 * math.log(10), abs=1e-4)
    assert transcribe(log_probs, vocabulary, DecodeOptions(beam=8), model=model).text != "nb a"
    asked = DecodeOptions(beam=8, hot_words=(HotWord("nb", 1),))
    assert transcribe(log_probs, vocabulary, asked, model=model).text == "nb a"


def test_a_request_may_change_the_weights_or_go_without(spaced: LanguageModel) -> None:
    log_probs = noise(3, 12, 4, 2)
    plain = transcribe(log_probs, SPACED, DecodeOptions(beam=8))
    told = transcribe(log_probs, SPACED, DecodeOptions(beam=8), model=spaced)
    assert told.text != plain.text
    without = DecodeOptions(beam=8, without_language_model=True)
    assert transcribe(log_probs, SPACED, without, model=spaced) == plain
    nothing = DecodeOptions(beam=8, lm_weight=0, word_bonus=0)
    assert transcribe(log_probs, SPACED, nothing, model=spaced).text == plain.text
    assert transcribe(log_probs, SPACED, DecodeOptions(), model=spaced) == transcribe(
        log_probs, SPACED
    ), "greedily, no model is followed"


def test_the_best_texts_come_first_and_none_twice(spaced: LanguageModel) -> None:
    options = DecodeOptions(beam=32, texts=8)
    found = transcribe(noise(1, 20, 4, 1.5), SPACED, options, model=spaced)
    texts = [found.text, *(other.text for other in found.others)]
    assert len(set(texts)) == 8
    scores = [other.score for other in found.others]
    assert scores == sorted(scores, reverse=True)


def test_words_of_a_list_have_the_times_and_phones_that_say_them() -> None:
    vocabulary = Vocabulary(("", "n", "ɒ", "t", "ʌ"), 0)
    entries = [("knot", (1, 2, 3)), ("not", (1, 2, 3)), ("nut", (1, 4, 3))]
    model = LanguageModel(sounding_words(entries, vocabulary), Parting.SOUND, closed=True)
    found = transcribe(
        said(".nnɒt..nʌʌt.", vocabulary), vocabulary, DecodeOptions(beam=8), frame=10, model=model
    )
    assert found.text == "knot nut"
    first, second = found.words
    assert first.span == Span(10, 50)
    assert second.span == Span(70, 110)
    assert [token.text for token in second.tokens] == ["n", "ʌ", "t"]
    assert second.confidence > 0.8


def test_of_words_that_sound_alike_the_model_chooses(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("", "n", "t"), 0)
    entries = [("knot", (1, 2)), ("not", (1, 2)), ("a", (2,))]
    grams = {
        ("<unk>",): (-3.0, 0.0),
        ("<s>",): (0.0, 0.0),
        ("</s>",): (-1.0, 0.0),
        ("knot",): (-2.0, 0.0),
        ("not",): (-1.0, 0.0),
        ("a",): (-1.0, 0.0),
        ("a", "knot"): (-0.1, 0.0),
    }
    lexicon = sounding_words(entries, vocabulary)
    scorer = KenLm(spoken.write(tmp_path, grams), lexicon.words)
    model = LanguageModel(lexicon, Parting.SOUND, scorer, 1.0, 0.0, closed=True)
    options = DecodeOptions(beam=8)
    assert transcribe(said(".nt.", vocabulary), vocabulary, options, model=model).text == "not"
    assert transcribe(said("t.nt", vocabulary), vocabulary, options, model=model).text == "a knot"


def test_a_word_that_is_not_whole_at_the_end_is_left_out() -> None:
    vocabulary = Vocabulary(("", "n", "t"), 0)
    model = LanguageModel(
        sounding_words([("not", (1, 1, 2))], vocabulary), Parting.SOUND, closed=True
    )
    found = transcribe(
        said("n.nt.n", vocabulary, 9), vocabulary, DecodeOptions(beam=1024), model=model
    )
    assert found.text == "not"
    nothing = transcribe(said("n", vocabulary), vocabulary, DecodeOptions(beam=8), model=model)
    assert (nothing.text, nothing.words) == ("", ())


@pytest.mark.parametrize("closed", [False, True])
def test_a_model_mends_what_noise_has_made_of_speech(tmp_path: Path, closed: bool) -> None:
    """No real checkpoint: frames of letters, with noise that makes most words wrong."""
    drawn = np.random.default_rng(7)
    letters = list("abcdefghijklmnopqrst")
    vocabulary = Vocabulary(("", *letters, "|"), 0, 21)
    words = sorted({"".join(drawn.choice(letters, drawn.integers(3, 8))) for _ in range(1000)})
    grams: spoken.Grams = {
        ("<unk>",): (-4.0, 0.0),
        ("<s>",): (0.0, 0.0),
        ("</s>",): (-1.5, 0.0),
        **{(word,): (-math.log10(len(words)), 0.0) for word in words},
        ("<s>", words[0]): (-math.log10(len(words)), 0.0),
    }
    model = LanguageModel(
        written_words(words, vocabulary),
        Parting.SPACE,
        KenLm(spoken.write(tmp_path, grams), words),
        closed=closed,
    )
    plain, told = ErrorCounts(), ErrorCounts()
    for _ in range(8):
        text = " ".join(drawn.choice(words, 10))
        log_probs = heard(text, vocabulary, drawn)
        for_text = transcribe(log_probs, vocabulary, DecodeOptions(beam=32))
        for_told = transcribe(log_probs, vocabulary, DecodeOptions(beam=32), model=model)
        plain += word_errors(for_text.text, text)
        told += word_errors(for_told.text, text)
    print(f"word errors {plain.rate:.1%} -> {told.rate:.1%}, closed: {closed}")  # noqa: T201
    assert plain.rate > 0.8
    assert told.rate < plain.rate / 2


def heard(text: str, vocabulary: Vocabulary, drawn: np.random.Generator) -> Floats:
    """Two frames of each letter and a blank, in noise."""
    path = "".join(f"{letter}{letter}." for letter in text.replace(" ", "|"))
    places = [0 if each == "." else vocabulary.labels.index(each) for each in path]
    scores = drawn.normal(size=(len(path), len(vocabulary.labels))) * 2.3
    scores[np.arange(len(path)), places] += 6
    return normalized(scores.astype(np.float32))
