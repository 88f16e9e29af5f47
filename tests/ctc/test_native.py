"""The compiled search finds what that in Python finds: the same texts, in the same order."""

import platform
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc import native, reference
from embedsvc.ctc.kenlm import KenLm
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.lexicon import sounding_words, written_words
from embedsvc.ctc.native import loader
from embedsvc.ctc.search import Candidate, beam, best, problem
from embedsvc.types import Floats, HotWord, Vocabulary
from tests.ctc import spoken
from tests.ctc.made import noise, normalized

SPACED = Vocabulary(("", "a", "b", "n", "<s>", "|"), 0, 5, frozenset({4}))
SIGNS = Vocabulary(("", "a", "b", "n", "ab"), 0)
WORDS = ["a", "ab", "ba", "nab", "bab"]
SOUNDS = [("a", (1, 2)), ("ab", (1, 2)), ("ba", (3,)), ("nab", (3, 3)), ("bab", (3, 2, 1))]

SEEDS = st.integers(0, 999)
HOT = st.lists(
    st.builds(HotWord, st.text("abn", min_size=1, max_size=3), st.floats(-2, 4)), max_size=3
)
WEIGHTS = st.tuples(st.floats(0, 2), st.floats(-2, 2), st.floats(-5, 0), st.booleans())

built = pytest.mark.skipif(native.library() is None, reason="the search was not compiled")


def emission(seed: int, labels: int) -> Floats:
    """Up to 40 frames of noise, sharp or flat, in which some labels may be impossible."""
    drawn = np.random.default_rng(seed)
    scores = drawn.normal(size=(drawn.integers(40), labels)) * drawn.choice([0.5, 2, 5])
    if drawn.random() < 0.3:
        scores[:, 1:][scores[:, 1:] < 0] = -np.inf
    return normalized(scores.astype(np.float32))


def same(
    log_probs: Floats,
    vocabulary: Vocabulary,
    width: int,
    hot: list[HotWord],
    model: LanguageModel | None = None,
    *,
    summed: bool = True,
) -> None:
    """Both search, and each text that is left is the same."""
    found: list[tuple[Candidate, ...]] = []
    for followed in (native.followed, reference.followed):
        given = problem(log_probs, vocabulary, width, hot, summed=summed, model=model)
        found.append(best(followed(given), given, given.width))
    compiled, expected = found
    assert [(each.labels, each.words) for each in compiled] == [
        (each.labels, each.words) for each in expected
    ]
    scores = [each.score for each in expected]
    assert [each.score for each in compiled] == pytest.approx(scores, abs=1e-9)


@built
@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 40), HOT, st.booleans())
def test_labels_are_followed_as_in_python(
    seed: int, width: int, hot: list[HotWord], summed: bool
) -> None:
    same(emission(seed, 6), SPACED, width, hot, summed=summed)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> KenLm:
    return KenLm(spoken.write(tmp_path_factory.mktemp("lm")), WORDS)


@built
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("parting", list(Parting))
@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 40), HOT, WEIGHTS, st.booleans())
def test_words_are_followed_as_in_python(
    scorer: KenLm,
    parting: Parting,
    closed: bool,
    seed: int,
    width: int,
    hot: list[HotWord],
    weights: tuple[float, float, float, bool],
    scored: bool,
) -> None:
    vocabulary = SPACED if parting is Parting.SPACE else SIGNS
    sounding = parting is Parting.SOUND
    lexicon = sounding_words(SOUNDS, SIGNS) if sounding else written_words(WORDS, vocabulary)
    model = LanguageModel(
        lexicon, parting, scorer if scored else None, *weights, closed=closed or sounding
    )
    same(emission(seed, len(vocabulary.labels)), vocabulary, width, hot, model)


@built
def test_of_equally_likely_prefixes_the_first_stay_as_in_python() -> None:
    # Labels of one probability, by the best alignment: every sum is exact, so that ties are ties.
    log_probs = np.full((12, 6), -2.0, np.float32)
    log_probs[::2, 3] = -1
    for width in (1, 2, 7, 50):
        same(log_probs, SPACED, width, [], summed=False)


@built
def test_hundreds_of_labels_and_prefixes_are_followed_as_in_python() -> None:
    wide = Vocabulary(("", *map(chr, range(0x4E00, 0x4E00 + 999))), 0)
    same(noise(0, 30, 1000, 0.5), wide, 300, [HotWord(wide.labels[7], 3)])


def test_without_the_library_python_searches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = beam(noise(0, 20, 6, 2), SPACED, 8, (), 4)
    monkeypatch.setattr(loader, "FILE", tmp_path / "libsearch.so")
    monkeypatch.setattr(native, "library", loader.library.__wrapped__)
    assert native.library() is None
    found = beam(noise(0, 20, 6, 2), SPACED, 8, (), 4)
    assert [each.labels for each in found] == [each.labels for each in expected]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="it is compiled for x86-64")
def test_installing_the_package_compiles_it() -> None:
    assert loader.FILE.is_file(), "run `make install`, or `pip install .`, which compile it"
