"""A trie finds the words that it was made of, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.ctc import lexicon as lexicons
from embedsvc.ctc.lexicon import NOWHERE, ROOT, Lexicon, sounding_words, written_words
from embedsvc.errors import InvalidArgument
from embedsvc.types import Vocabulary

PIECES = Vocabulary(("", "a", "b", "ba", "|", "<s>"), 0, 4, frozenset({5}))
SOUNDS = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)


def walked(lexicon: Lexicon, labels: tuple[int, ...]) -> int:
    node = np.array(ROOT)
    for label in labels:
        node = lexicon.after(node, np.array(label))
    return int(node)


@given(st.sets(st.text("abc", min_size=1, max_size=4), min_size=1), st.lists(st.integers(1, 3)))
def test_labels_lead_to_the_word_that_they_write(words: set[str], labels: list[int]) -> None:
    listed = [*sorted(words), "a"]
    lexicon = written_words(listed, PIECES)
    node = walked(lexicon, tuple(labels))
    text = "".join(PIECES.labels[label] for label in labels)
    found = {listed[number] for number in lexicon.words_at(node)} if labels else set()
    assert found == ({text} & {*listed})
    begins = any(word.startswith(text) for word in listed)
    assert (node != NOWHERE) == begins


@given(st.lists(st.tuples(st.sampled_from(["x", "y"]), SOUNDS), min_size=1), SOUNDS)
def test_sounds_lead_to_all_words_that_sound_so(
    entries: list[tuple[str, tuple[int, ...]]], said: tuple[int, ...]
) -> None:
    lexicon = sounding_words(entries, PIECES)
    found = sorted(lexicon.words[number] for number in lexicon.words_at(walked(lexicon, said)))
    assert found == sorted(word for word, sounds in entries if sounds == said)


def test_silent_labels_and_the_blank_lead_nowhere_else() -> None:
    lexicon = written_words(["ab"], PIECES)
    assert walked(lexicon, (1, 5, 0, 2)) == walked(lexicon, (1, 2)) != ROOT
    assert walked(lexicon, (2, 1)) == NOWHERE


def test_letters_are_composed_alike() -> None:
    vocabulary = Vocabulary(("", "\u00e9"), 0)
    lexicon = written_words(["e\u0301"], vocabulary)
    assert lexicon.words_at(walked(lexicon, (1,))) == [0]


@pytest.mark.parametrize("words", [[], [""], ["a", ""], ["xyz"]])
def test_words_that_no_label_writes_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="`words`"):
        written_words(words, PIECES)


def test_more_words_than_memory_allows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicons, "MOST_SYMBOLS", 3)
    with pytest.raises(InvalidArgument, match="3 symbols"):
        written_words(["ab", "ba"], PIECES)
