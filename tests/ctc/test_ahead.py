"""What is ahead of a node is the best path from it to the end of a word."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.ctc import ahead as module
from embedsvc.ctc.ahead import HOPELESS, ahead
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.lexicon import Lexicon, sounding_words
from embedsvc.ctc.reading import Words
from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.ctc.search import beam
from embedsvc.types import Vocabulary
from tests.ctc.made import noise, said

PHONES = Vocabulary(("", "p", "q", "r"), 0)
WORD = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 5), st.sets(WORD, min_size=1), st.floats(-2, 2))
def test_it_is_the_best_of_all_paths(
    seed: int, frames: int, words: set[Labels], bonus: float
) -> None:
    log_probs = noise(seed, frames, 4, 2).astype(np.float64)
    lexicon = sounding_words([(str(word), word) for word in sorted(words)], PHONES)
    found = ahead(log_probs, log_probs, lexicon, [0], bonus)
    assert found is not None
    for place, row in enumerate(found):
        every = walked(log_probs[place:], sorted(words), bonus)
        best = np.array([every[spelled] for spelled in nodes(lexicon)])
        expected = np.maximum(best - best.max(), HOPELESS)
        np.testing.assert_allclose(row, expected, atol=1e-4)


def nodes(lexicon: Lexicon) -> list[Labels]:
    """The symbols that lead to each node."""
    found: list[Labels] = [()]
    for step in lexicon.steps.tolist():
        parent, symbol = divmod(step, lexicon.symbols)
        found.append((*found[parent], symbol))
    return found


def walked(log_probs: Doubles, words: list[Labels], bonus: float) -> dict[Labels, float]:
    """The best path from each beginning of a word, tried step by step."""
    beginnings = {word[:end] for word in words for end in range(len(word) + 1)}

    @cache
    def best(at: Labels, frame: int) -> float:
        if frame == len(log_probs):
            return bonus if at in words else -np.inf if at else 0.0
        heard = log_probs[frame]
        ways = [heard[0] + best(at, frame + 1)]
        ways += [heard[label] + best(at, frame + 1) for label in at[-1:]]
        for label in (1, 2, 3):
            if (*at, label) in beginnings:
                ways.append(heard[label] + best((*at, label), frame + 1))
            if at in words and (label,) in beginnings:
                ways.append(bonus + heard[label] + best((label,), frame + 1))
        return float(max(ways))

    return {at: best(at, 0) for at in beginnings}


def test_a_word_whose_beginning_was_not_heard_is_found_by_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vocabulary = Vocabulary(("", *"abcdefgh"), 0)
    others = [(f"{first}{second}", (first, second)) for first in range(1, 5) for second in (1, 2)]
    listed = [*others, ("long", (5, 6, 7, 8, 7, 6))]
    lexicon = sounding_words(listed, vocabulary)
    model = LanguageModel(lexicon, Parting.SOUND, closed=True, bonus=-9)
    log_probs = said("......gh.g.f..", vocabulary, 9)
    log_probs[:, 5] -= 6

    def heard() -> Words | None:
        return beam(log_probs, vocabulary, 2, model=model)[0].words

    assert heard() == (("long", 6),)
    monkeypatch.setattr(module, "MOST_CELLS", 0)
    assert heard() != (("long", 6),), "without it, even four times as many prefixes are too few"


def test_more_than_memory_allows_is_not_looked_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = sounding_words([("p", (1,))], PHONES)
    frames = noise(0, 9, 4).astype(np.float64)
    monkeypatch.setattr(module, "MOST_CELLS", 20)
    assert ahead(frames, frames, lexicon, [0], 0.0) is not None
    monkeypatch.setattr(module, "MOST_CELLS", 19)
    assert ahead(frames, frames, lexicon, [0], 0.0) is None
