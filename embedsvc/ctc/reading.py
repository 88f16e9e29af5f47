"""How a language model follows the prefixes of one beam search.

A word is scored when it is over: at a space, at the next label where each is a word, or wherever a
word of a list may end. Until then a prefix is held back only if it begins no known word.

Letters: W prefixes in the beam, K columns: what a prefix may go on with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.language_model import LN_10, LanguageModel, Parting, State
from embedsvc.ctc.lexicon import NOWHERE, ROOT, Lexicon, Nodes
from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.ctc.vocabulary import text_of
from embedsvc.types import Vocabulary

Words = tuple[tuple[str, int], ...]
"""Words, each with how many labels are its."""

Columns = Nodes
"""A label, or the number of labels plus a label: then the word before it is over."""


@dataclass(frozen=True)
class Followed:
    """What a language model knows of prefixes: places in the trie, and after which words.

    `held` is what they are held back by until their words are over. Each is (W,), or (W, K).
    """

    node: Nodes
    context: Nodes
    held: Doubles


@dataclass(frozen=True)
class Over:
    """A word that is over: what it scored, the words so far with it, its number if it is known."""

    score: float
    context: int
    word: int | None


class Reading:
    """One search; `hot` are words that are known, whatever the lexicon says."""

    def __init__(
        self, model: LanguageModel, vocabulary: Vocabulary, hot: frozenset[str] = frozenset()
    ) -> None:
        self._model, self._vocabulary, self._hot = model, vocabulary, hot
        self._size = len(vocabulary.labels)
        scorer = model.scorer
        self._states: list[State] = [scorer.start(boundary=model.boundary) if scorer else None]
        self._over: dict[tuple[int, int, bool], Over] = {}
        self._nodes: dict[Labels, int] = {}
        self._texts = [text_of(label, vocabulary) for label in range(self._size)] if hot else []
        beginning = min(0.0, model.unknown) if model.weight else 0.0
        self.impossible = -np.inf if model.closed else beginning
        """What a prefix that begins no known word is held back by."""

    @property
    def lexicon(self) -> Lexicon:
        """The words that are known."""
        return self._model.lexicon

    @property
    def closed(self) -> bool:
        """Whether no other words than those of the lexicon are allowed."""
        return self._model.closed

    @property
    def space(self) -> int | None:
        """The label that parts words."""
        return self._vocabulary.space

    @property
    def sounding(self) -> bool:
        """Whether each label is two columns: within a word, and behind one."""
        return self._model.parting is Parting.SOUND

    @property
    def knows_hot(self) -> bool:
        """Whether a word that the lexicon lacks may be known all the same."""
        return bool(self._hot)

    def first(self) -> Followed:
        """Before anything was said."""
        return Followed(np.array([ROOT]), np.array([0]), np.zeros(1))

    def columns(self, begun: Nodes) -> Columns:
        """What may follow, of the labels that may: each within a word or behind it."""
        if self.sounding:
            return np.concatenate([begun, begun + self._size])
        return begun

    def followed(
        self, now: Followed, over: Sequence[Over | None], columns: Columns
    ) -> tuple[Doubles, Followed]:
        """What each column adds to the score of each prefix (W, K), and what is known then.

        `over` has, for each prefix, the word that is over if it is; None where it cannot be.
        """
        labels = columns % self._size
        open_ = (now.node != ROOT)[:, None]
        closes = np.broadcast_to(self.closing(columns), (len(now.node), len(columns))) & open_
        ended = np.array([-np.inf if each is None else each.score for each in over])[:, None]
        then = np.array([0 if each is None else each.context for each in over])[:, None]
        gain = np.where(closes, ended, 0.0)
        start = np.where(closes, ROOT, now.node[:, None])
        node = self.lexicon.after(start, labels)
        if self.sounding:
            # Behind a word there must have been one.
            gain = np.where((columns >= self._size) & ~open_, -np.inf, gain)
        held = np.where(node == NOWHERE, self.impossible, 0.0)
        return gain, Followed(node, np.where(closes, then, now.context[:, None]), held)

    def closing(self, columns: Columns) -> NDArray[np.bool_]:
        """Behind which of the columns a word is over."""
        match self._model.parting:
            case Parting.SPACE:
                return np.asarray(columns == self._vocabulary.space)
            case Parting.SOUND:
                return np.asarray(columns >= self._size)
            case Parting.LABEL:
                silent = [self._vocabulary.blank, *self._vocabulary.silent]
                return ~np.isin(columns, silent)

    def may_close(self, columns: Columns) -> bool:
        """Whether a word is over behind one of the columns."""
        return bool(self.closing(columns).any())

    def over(self, node: int, context: int, labels: Callable[[], Labels]) -> Over | None:
        """The word that is over if it is, of a prefix of these labels; None where it cannot be.

        Of the labels, those behind the last space are enough. They are asked for only where the
        word may be a hot one. Of words that sound alike, it is the likeliest after those before it.
        """
        if node == ROOT:
            return Over(0.0, context, None)
        words = self.lexicon.words_at(node)
        if not words and self._model.closed:
            return None
        hot = not words and bool(self._hot) and self._last(labels()) in self._hot
        key = (context, node if words else NOWHERE, hot)
        if key not in self._over:
            either: list[int] | list[None] = words or [None]
            scored = [self._scored(context, word, hot) for word in either]
            self._over[key] = max(scored, key=lambda each: each.score)
        return self._over[key]

    def end(self, context: int) -> float:
        """What the end of a text adds."""
        model = self._model
        if model.scorer is None or not model.boundary:
            return 0.0
        return model.weight * LN_10 * model.scorer.finish(self._states[context])

    def words(self, columns: Sequence[int]) -> Words | None:
        """Words that labels which sound them were read as, each with how many are its labels.

        The last is left out where it is not whole. None where labels write words themselves.
        """
        if not self.sounding:
            return None
        labels = tuple(column % self._size for column in columns)
        context, since = 0, 0
        found: list[tuple[str, int]] = []
        for place, column in enumerate([*columns, self._size]):
            if column < self._size or (node := self._node(labels[since:place])) == ROOT:
                continue
            over = self.over(node, context, tuple)
            if over is None or over.word is None:
                break
            found.append((self.lexicon.words[over.word], place - since))
            context, since = over.context, place
        return tuple(found)

    def whole(self, labels: Labels, words: Words | None) -> int:
        """How many of the labels are of whole words, where the last one is not."""
        if words is not None:
            return sum(count for _, count in words)
        count = len(labels)
        while count and labels[count - 1] != self._vocabulary.space:
            count -= 1
        return count

    def _node(self, labels: Labels) -> int:
        """The node behind labels from the root; texts of one search share most of their words."""
        if labels not in self._nodes:
            node = np.array(ROOT)
            for label in labels:
                node = self.lexicon.after(node, np.array(label))
            self._nodes[labels] = int(node)
        return self._nodes[labels]

    def _scored(self, context: int, word: int | None, hot: bool) -> Over:
        model = self._model
        score = 0.0 if word is not None or hot else model.unknown
        if model.scorer is not None:
            number = len(model.lexicon.words) if word is None else word
            state, raw = model.scorer.score(self._states[context], number)
            score += raw
            # Without a scorer, the words before say nothing of those to come.
            context = len(self._states)
            self._states.append(state)
        return Over(model.weight * LN_10 * score + model.bonus, context, word)

    def _last(self, labels: Labels) -> str:
        """The last word of what labels write."""
        space = self._vocabulary.space
        since = len(labels)
        while since and labels[since - 1] != space:
            since -= 1
        return "".join(map(self._texts.__getitem__, labels[since:])).strip()
