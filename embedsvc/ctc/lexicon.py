"""Words as a trie, which a beam walks by many prefixes at once.

Letters: W words, N nodes of the trie, E = N - 1 steps between them, V labels.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.runs import Labels
from embedsvc.ctc.vocabulary import is_written, text_of
from embedsvc.errors import InvalidArgument
from embedsvc.types import Vocabulary

Nodes = NDArray[np.int64]

ROOT, NOWHERE = 0, -1
"""Nodes: before the first symbol of a word, and behind what begins no word."""

MOST_WORDS = 4_000_000
MOST_SYMBOLS = 64_000_000


@dataclass(frozen=True)
class Lexicon:
    """Words in the order of their numbers, and how labels lead through the trie of them.

    A word is a sequence of symbols, and a label stands for some of them: its characters where
    words are written, or itself where a list tells how they sound. `steps` (E,) are nodes times
    symbols plus the symbol, ascending, and `nodes` (E,) where they lead. `ends` (W,) are the nodes
    of the words, ascending, `order` (W,) their numbers. `spelled` (V, L) are the symbols of each
    label, -1 behind the last.
    """

    words: tuple[str, ...]
    steps: Nodes
    nodes: Nodes
    ends: Nodes
    order: Nodes
    spelled: NDArray[np.int64]
    symbols: int

    def after(self, nodes: Nodes, labels: Nodes) -> Nodes:
        """Nodes behind labels, as both are broadcast; a label that is silent stays."""
        found = np.broadcast_to(nodes, np.broadcast_shapes(nodes.shape, labels.shape))
        for symbols in np.moveaxis(self.spelled[labels], -1, 0):
            found = np.where(symbols < 0, found, self._step(found, symbols))
        return found

    def words_at(self, node: int) -> list[int]:
        """Numbers of the words that end in a node: several where they sound alike."""
        if node == NOWHERE:
            return []
        first, end = self.ends.searchsorted(node), self.ends.searchsorted(node, "right")
        found: list[int] = self.order[first:end].tolist()
        return found

    def _step(self, nodes: Nodes, symbols: Nodes) -> Nodes:
        if not len(self.steps):
            return np.full(np.broadcast_shapes(nodes.shape, symbols.shape), NOWHERE)
        wanted = np.where(nodes < 0, -1, nodes * self.symbols + symbols)
        place = np.minimum(np.searchsorted(self.steps, wanted), len(self.steps) - 1)
        return np.where(self.steps[place] == wanted, self.nodes[place], NOWHERE)


def written_words(words: Sequence[str], vocabulary: Vocabulary) -> Lexicon:
    """Words by their characters, as the labels of a vocabulary write them.

    Raises InvalidArgument if no word can be written with the labels, or for too many.
    """
    known = tuple(unicodedata.normalize("NFC", word) for word in words)
    points = np.frombuffer("".join(known).encode("utf-32-le"), np.uint32).astype(np.int64)
    letters, symbols = np.unique(points, return_inverse=True)
    places = {chr(letter): place for place, letter in enumerate(letters.tolist())}
    other = len(places)  # a symbol that no word has
    spelled = [
        [places.get(letter, other) for letter in unicodedata.normalize("NFC", text)]
        for text in (
            text_of(label, vocabulary) if is_written(label, vocabulary) else ""
            for label in range(len(vocabulary.labels))
        )
    ]
    lexicon = _lexicon(known, symbols, [len(word) for word in known], spelled, other + 1)
    usable = np.zeros(other + 1, np.bool_)
    usable[[symbol for label in spelled for symbol in label]] = True
    starts = np.cumsum([0, *map(len, known[:-1])])
    if not len(points) or not np.logical_and.reduceat(usable[symbols], starts).any():
        raise InvalidArgument(
            f"`words` must be written with the labels of the head, but none of {len(words)} can be",
            field="words",
        )
    return lexicon


def sounding_words(entries: Sequence[tuple[str, Labels]], vocabulary: Vocabulary) -> Lexicon:
    """Words by the labels that they are said with; a word may be there in several ways."""
    symbols = np.array([label for _, labels in entries for label in labels], np.int64)
    written = [
        [label] if is_written(label, vocabulary) else [] for label in range(len(vocabulary.labels))
    ]
    lengths = [len(labels) for _, labels in entries]
    words = tuple(word for word, _ in entries)
    return _lexicon(words, symbols, lengths, written, len(vocabulary.labels))


def _lexicon(
    words: tuple[str, ...],
    symbols: Nodes,
    lengths: Sequence[int],
    spelled: Sequence[Sequence[int]],
    size: int,
) -> Lexicon:
    """A lexicon of words of at least a symbol each, which follow each other in `symbols`."""
    if not 0 < len(words) <= MOST_WORDS or len(symbols) > MOST_SYMBOLS or not all(lengths):
        raise InvalidArgument(
            f"`words` must be 1 to {MOST_WORDS}, of {MOST_SYMBOLS} symbols together and none "
            f"empty, but are {len(words)} of {len(symbols)}",
            field="words",
        )
    steps, nodes, ends = _trie(symbols, np.array(lengths), size)
    order = np.argsort(ends, kind="stable")
    longest = max(map(len, spelled))
    padded = np.array([[*each, *[-1] * (longest - len(each))] for each in spelled], np.int64)
    return Lexicon(words, steps, nodes, ends[order], order, padded, size)


def _trie(symbols: Nodes, lengths: Nodes, size: int) -> tuple[Nodes, Nodes, Nodes]:
    """Steps, where they lead, and the node of each word: level by level, all words at once."""
    starts = np.cumsum(lengths) - lengths
    ends = np.zeros(len(lengths), np.int64)
    steps: list[Nodes] = []
    count, going = 1, np.arange(len(lengths))
    for level in range(int(lengths.max())):
        going = going[lengths[going] > level]
        taken, which = np.unique(
            ends[going] * size + symbols[starts[going] + level], return_inverse=True
        )
        ends[going] = count + which
        count += len(taken)
        steps.append(taken)
    # Nodes are numbered as the steps to them are: by level, and there ascending.
    found = np.concatenate(steps)
    return found, np.arange(1, count), ends
