"""Words that are likelier here than elsewhere, as an automaton over labels.

It is that of Aho and Corasick (1975): the trie of the words, in which each state knows the longest
end of what was read that begins a word, so that no beginning is missed. A beginning of a word is
given its boost at once, or a beam would drop it; what is not completed is taken back.

Letters: H states, V labels.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.ctc.vocabulary import encode
from embedsvc.errors import InvalidArgument
from embedsvc.types import HotWord, Vocabulary

MOST_CELLS = 1 << 24
"""States times labels of an automaton; each takes 12 bytes."""

MOST_BOOST = 20.0
"""In nats a token, either way: more than any head is sure of."""


@dataclass(frozen=True)
class Automaton:
    """The state after each label, `after` (H, V), and what it adds to a score, `gain` (H, V).

    `hope` (H,) is the part of what was added that is taken back unless a word is completed.
    `first` is the state before anything was read. `last` (H,) is what the end adds.
    """

    first: int
    after: NDArray[np.int32]
    gain: Doubles
    hope: Doubles
    last: Doubles


class _Trie:
    """Words, label by label; `potential` is what the beginning of a word may yet become worth."""

    def __init__(self) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.reward = [0.0]
        self.potential = [0.0]

    def add(self, labels: Labels, boost: float, silent: int | None) -> None:
        """A word; its spaces add nothing. Of a word that is there, the later boost counts."""
        node, worth, given = 0, 0.0, 0.0
        for place, label in enumerate(labels, 1):
            worth += 0.0 if label == silent else boost
            if label not in self.children[node]:
                self.children[node][label] = len(self.children)
                self.children.append({})
                self.reward.append(0.0)
                self.potential.append(0.0)
            node = self.children[node][label]
            if place < len(labels):
                given += self.reward[node]
                self.potential[node] = max(self.potential[node], worth - given)
        self.reward[node] = worth


def automaton(hot_words: Sequence[HotWord], vocabulary: Vocabulary) -> Automaton:
    """The automaton of words; where the vocabulary parts words, they are found whole.

    Raises InvalidArgument if a word has a letter that the vocabulary lacks, or a boost is not from
    -`MOST_BOOST` to `MOST_BOOST`.
    """
    trie, space = _Trie(), vocabulary.space
    edge = () if space is None else (space,)
    words = [
        (_encoded(word, place, vocabulary), word.boost) for place, word in enumerate(hot_words)
    ]
    # A shorter word is there before one that it begins, which counts on what it is given for it.
    for labels, boost in sorted(words, key=lambda word: len(word[0])):
        trie.add((*edge, *labels, *edge), boost, space)
    size = len(vocabulary.labels)
    if len(trie.children) * size > MOST_CELLS:
        raise InvalidArgument(
            f"`hot_words` must have at most {MOST_CELLS // size} letters together, but have "
            f"{len(trie.children)}",
            field="hot_words",
        )
    after, reward = _completed(trie, size)
    potential = np.array(trie.potential)
    gain = reward[after] + potential[after] - potential[:, None]
    unheard = [*vocabulary.silent]
    after[:, unheard] = np.arange(len(after))[:, None]
    gain[:, unheard] = 0
    if space is None:
        return Automaton(0, after, gain, potential, -potential)
    last = gain[:, space] - potential[after[:, space]]
    return Automaton(int(after[0, space]), after, gain, potential, last)


def _encoded(word: HotWord, place: int, vocabulary: Vocabulary) -> Labels:
    if not -MOST_BOOST <= word.boost <= MOST_BOOST:
        raise InvalidArgument(
            f"`boost` must be from {-MOST_BOOST} to {MOST_BOOST}, but is {word.boost}",
            field=f"hot_words[{place}].boost",
        )
    try:
        return encode(word.text, vocabulary)
    except InvalidArgument as error:
        raise error.at(f"hot_words[{place}]") from error


def _completed(trie: _Trie, size: int) -> tuple[NDArray[np.int32], Doubles]:
    """The state after every label of every state, and the rewards of all words that end there."""
    states = len(trie.children)
    after = np.zeros((states, size), np.int32)
    reward = np.array(trie.reward)
    shorter = [0] * states
    waiting = deque([0])
    while waiting:
        node = waiting.popleft()
        if node:
            after[node] = after[shorter[node]]
            reward[node] += reward[shorter[node]]
        for label, child in trie.children[node].items():
            shorter[child] = int(after[node, label]) if node else 0
            after[node, label] = child
            waiting.append(child)
    return after, reward
