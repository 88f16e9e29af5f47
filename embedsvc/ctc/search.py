"""The likeliest label sequences: prefix beam search over log-probabilities.

A sequence is as likely as all its alignments together (Graves et al. 2006), so that a prefix
keeps two totals, of alignments that end in a blank and of those that end in its last label
(Hannun et al. 2014).

With a language model, what is scored is log(all alignments) + what the model adds, as in shallow
fusion (Gulcehre et al. 2015).

Letters: T frames, V labels, W prefixes in the beam, C labels that a frame may say, K columns: the
labels, each perhaps within a word and behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.hot_words import Automaton, automaton
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.reading import Followed, Over, Reading, Words
from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.ctc.vocabulary import encode, text
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, HotWord, Vocabulary

Places = NDArray[np.intp]

PRUNED = 1e-5
"""A label this much less likely than the best of its frame is not begun there."""

CLOSED_PRUNED = 1e-8
"""The same where only listed words are allowed: what is not likely may be all that is left."""

MOST_BEGUN = 256
"""Labels that may begin in a frame, the likeliest ones: enough for any head that is sure of
anything, and what bounds the time that one of tens of thousands of labels takes."""

SOUND_WIDTH = 4
"""Times as many prefixes are followed where a list tells how words sound: it forces labels that
are not likely, and what begins a word falls behind silence until the word is whole."""

MOST_WIDTH = 1024


@dataclass(frozen=True)
class Candidate:
    """A label sequence, and its log-probability with what hot words and language models add.

    `words` are those of a list that the labels sound, each with how many of the labels are its.
    """

    labels: Labels
    score: float
    words: Words | None = None


class _Prefixes:
    """All prefixes that were ever in the beam, as a tree; 0 is the empty one."""

    def __init__(self) -> None:
        self._parents = [-1]
        self._labels = [-1]
        self._children: dict[tuple[int, int], int] = {}

    def child(self, prefix: int, label: int) -> int:
        """The prefix that goes on with `label`; the same one each time."""
        found = self._children.setdefault((prefix, label), len(self._parents))
        if found == len(self._parents):
            self._parents.append(prefix)
            self._labels.append(label)
        return found

    def parent(self, prefix: int) -> int:
        """The prefix without its last label; -1 of the empty one."""
        return self._parents[prefix]

    def labels(self, prefix: int) -> Labels:
        """The labels of a prefix."""
        found = []
        while prefix:
            found.append(self._labels[prefix])
            prefix = self._parents[prefix]
        return tuple(reversed(found))


@dataclass
class _Beam:
    """The prefixes that are followed: totals, last labels and columns, hot words of each (W,).

    `followed` is what a language model knows of them, `over` the word of each that is over if it
    is, `_UNASKED` before that was asked for.
    """

    prefixes: list[int]
    blank: Doubles
    label: Doubles
    last: Places
    column: Places
    bonus: Doubles
    state: Places
    followed: Followed
    over: list[Over | None]


_UNASKED = Over(np.nan, -1, None)
_NOTHING = Followed(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))


class _Search:
    """One search; `step` takes the frames in order."""

    def __init__(
        self,
        size: int,
        blank: int,
        width: int,
        hot: Automaton | None,
        reading: Reading | None,
        *,
        summed: bool,
    ) -> None:
        self._size, self._blank, self._width = size, blank, width
        self._hot, self._reading = hot, reading
        self._joined: np.ufunc = np.logaddexp if summed else np.maximum
        self._tree = _Prefixes()
        none, nowhere = np.zeros(1), np.array([-1])
        first = np.array([hot.first if hot else 0])
        followed = reading.first() if reading else _NOTHING
        self._beam = _Beam(
            [0], none, np.full(1, -np.inf), nowhere, nowhere, none, first, followed, [_UNASKED]
        )
        self._born = self._inner()

    def step(self, frame: Doubles, begun: Places) -> None:
        """Go on by one frame (V,), in which the labels `begun` (C,) may begin."""
        beam = self._beam
        total = self._total()
        again = beam.label + frame[beam.last]
        beam.blank, before = total + frame[self._blank], beam.blank
        if not len(begun):
            beam.label = again
            return
        columns = self._reading.columns(begun) if self._reading else begun
        longer = total[:, None] + frame[columns % self._size]  # (W, K)
        place = np.full(2 * self._size, -1)
        place[columns] = np.arange(len(columns))
        for same in (place[beam.last], place[beam.last + self._size]):
            rows = np.flatnonzero((same >= 0) & (beam.last >= 0))
            # An equal label begins anew only after a blank.
            longer[rows, same[rows]] = before[rows] + frame[beam.last[rows]]
        children, parents = self._born
        into = place[beam.column[children]]
        real = into >= 0
        children, parents, into = children[real], parents[real], into[real]
        again[children] = self._joined(again[children], longer[parents, into])
        longer[parents, into] = -np.inf
        beam.label = again
        self._choose(longer, columns)

    def _choose(self, longer: Doubles, columns: Places) -> None:
        """Keep the best of the prefixes that stay and of those that are longer (W, K)."""
        beam, hot = self._beam, self._hot
        count, labels = len(beam.prefixes), columns % self._size
        bonus = np.repeat(beam.bonus[:, None], len(columns), axis=1)
        hope = np.zeros(count + longer.size)
        if hot:
            rows = beam.state[:, None]
            bonus += hot.gain[rows, labels]
            hope = np.concatenate([hot.hope[beam.state], hot.hope[hot.after[rows, labels]].ravel()])
        followed = self._followed(columns, bonus, hope[count:])
        scores = np.concatenate([self._total() + beam.bonus, (longer + bonus).ravel()])
        if followed:
            scores += np.concatenate([beam.followed.held, followed.held.ravel()])
        kept = self._best_of(scores, hope)
        if len(kept) == count and (not count or kept[-1] < count):
            return
        stay, grown = kept[kept < count], kept[kept >= count] - count
        self._keep(stay, grown, longer, bonus, columns, followed)
        self._born = self._inner()

    def _followed(self, columns: Places, bonus: Doubles, hope: Doubles) -> Followed | None:
        """What the language model knows behind the columns (W, K), whose scores it adds."""
        beam, reading = self._beam, self._reading
        if reading is None:
            return None
        if reading.may_close(columns):
            self._ask()
        gain, followed = reading.followed(beam.followed, beam.over, columns)
        bonus += gain
        if self._hot and not reading.closed:
            # The beginning of a hot word is that of a known one.
            followed.held[hope.reshape(followed.held.shape) > 0] = 0
        return followed

    def _ask(self) -> None:
        """Which words are over if they are."""
        beam, reading = self._beam, self._reading
        assert reading is not None
        for row, over in enumerate(beam.over):
            if over is _UNASKED:
                node, context = int(beam.followed.node[row]), int(beam.followed.context[row])
                prefix = beam.prefixes[row]
                beam.over[row] = reading.over(node, context, lambda: self._labels(prefix))  # noqa: B023 - called at once

    def _keep(
        self,
        stay: Places,
        grown: Places,
        longer: Doubles,
        bonus: Doubles,
        columns: Places,
        followed: Followed | None,
    ) -> None:
        beam, hot, child = self._beam, self._hot, self._tree.child
        rows, places = np.divmod(grown, len(columns))
        column = columns[places]
        labels = column % self._size
        state = hot.after[beam.state[rows], labels] if hot else beam.state[rows]
        now = beam.followed
        self._beam = _Beam(
            [beam.prefixes[row] for row in stay.tolist()]
            + [
                child(beam.prefixes[row], each)
                for row, each in zip(rows.tolist(), column.tolist(), strict=True)
            ],
            np.concatenate([beam.blank[stay], np.full(len(grown), -np.inf)]),
            np.concatenate([beam.label[stay], longer[rows, places]]),
            np.concatenate([beam.last[stay], labels]),
            np.concatenate([beam.column[stay], column]),
            np.concatenate([beam.bonus[stay], bonus[rows, places]]),
            np.concatenate([beam.state[stay], state]),
            now
            if followed is None
            else Followed(
                np.concatenate([now.node[stay], followed.node[rows, places]]),
                np.concatenate([now.context[stay], followed.context[rows, places]]),
                np.concatenate([now.held[stay], followed.held[rows, places]]),
            ),
            [beam.over[row] for row in stay.tolist()] + [_UNASKED] * len(grown),
        )

    def _best_of(self, scores: Doubles, hope: Doubles) -> Places:
        """Places of the best scores; of half of them, without what hot words only may add.

        Else prefixes that hope for a long word would drive out all that are likelier without.
        """
        kept = np.flatnonzero(scores > -np.inf)
        if len(kept) <= self._width:
            return kept
        order = np.argpartition(-scores, self._width - 1)[: self._width]
        if not hope[order].any():
            return np.sort(order)
        sober = np.argsort(hope - scores, kind="stable")[: (self._width + 1) // 2]
        rest = np.setdiff1d(order, sober)
        rest = rest[np.argsort(-scores[rest], kind="stable")][: self._width - len(sober)]
        return np.sort(np.concatenate([sober, rest]))

    def _total(self) -> Doubles:
        found: Doubles = self._joined(self._beam.blank, self._beam.label)
        return found

    def _inner(self) -> tuple[Places, Places]:
        """Rows of prefixes whose parent is in the beam too, and the rows of those parents."""
        row_of = {prefix: row for row, prefix in enumerate(self._beam.prefixes)}
        pairs = [
            (row, row_of[parent])
            for prefix, row in row_of.items()
            if (parent := self._tree.parent(prefix)) in row_of
        ]
        found = np.array(pairs, np.intp).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def best(self, count: int) -> tuple[Candidate, ...]:
        """The best label sequences, the best first."""
        beam = self._beam
        scores = self._total() + beam.bonus
        if self._hot:
            scores = scores + self._hot.last[beam.state]
        ended = self._ended(scores) if self._reading else scores
        # Where only listed words are allowed, perhaps none is whole yet.
        cut = not (ended > -np.inf).any()
        scores = scores if cut else ended
        order = np.argsort(-scores, kind="stable")[:count].tolist()
        return tuple(
            self._candidate(beam.prefixes[row], float(scores[row]), cut=cut)
            for row in order
            if scores[row] > -np.inf or row == order[0]
        )

    def _ended(self, scores: Doubles) -> Doubles:
        """Scores with the last words and the end of the text."""
        assert self._reading is not None
        self._ask()
        end = self._reading.end
        added = [
            -np.inf if over is None else over.score + end(over.context) for over in self._beam.over
        ]
        ended: Doubles = scores + np.array(added)
        return ended

    def _labels(self, prefix: int) -> Labels:
        return tuple(column % self._size for column in self._tree.labels(prefix))

    def _candidate(self, prefix: int, score: float, *, cut: bool) -> Candidate:
        """A candidate; where it is `cut`, without a last word that is not whole."""
        labels = self._labels(prefix)
        if self._reading is None:
            return Candidate(labels, score)
        words = self._reading.words(self._tree.labels(prefix))
        if cut:
            labels = labels[: self._reading.whole(labels, words)]
        return Candidate(labels, score, words)


def beam(
    log_probs: Floats,
    vocabulary: Vocabulary,
    width: int,
    hot_words: Sequence[HotWord] = (),
    n_best: int = 1,
    *,
    summed: bool = True,
    pruned: float | None = None,
    model: LanguageModel | None = None,
) -> tuple[Candidate, ...]:
    """Up to `n_best` of the likeliest label sequences of (T, V), the best first.

    `width` prefixes are followed, or `n_best` if more are asked for, and `SOUND_WIDTH` times as
    many where a list tells how words sound. With `pruned` 0, at most
    `MOST_BEGUN` labels and a width of all prefixes the search is exact. Where alignments are not
    `summed`, a sequence is as likely as its best one: a head that was taught frame by frame is as
    sure of each frame of a label, so that the many ways to say a label twice add up to more than
    the one that was meant. A `model` scores words, and may allow no others than its own: a word
    that is not whole at the end is left out then, if no prefix ends with a whole one.

    Raises InvalidArgument for a width that is not from 1 to `MOST_WIDTH`, and as `automaton` does.
    """
    followed = max(width, n_best)
    if not 1 <= min(width, n_best) <= followed <= MOST_WIDTH:
        raise InvalidArgument(
            f"`beam` must be from 1 to {MOST_WIDTH} wide, but is {width}, and {n_best} texts are "
            "asked for",
            field="beam",
        )
    if model and model.parting is Parting.SOUND:
        followed = min(MOST_WIDTH, SOUND_WIDTH * followed)
    hot = automaton(hot_words, vocabulary) if hot_words else None
    reading = Reading(model, vocabulary, _known(hot_words, vocabulary)) if model else None
    search = _Search(log_probs.shape[1], vocabulary.blank, followed, hot, reading, summed=summed)
    if pruned is None:
        pruned = CLOSED_PRUNED if model and model.closed else PRUNED
    boost = max(0.0, *(word.boost for word in hot_words), 0.0)
    frames = log_probs.astype(np.float64)
    for frame, begun in zip(frames, _begun(frames, vocabulary.blank, pruned, boost), strict=True):
        search.step(frame, begun)
    return search.best(n_best)


def _begun(frames: Doubles, blank: int, pruned: float, boost: float) -> Iterator[Places]:
    """Labels that may begin in each frame."""
    with np.errstate(divide="ignore"):
        margin = np.log(pruned) - boost
    allowed = frames > (frames.max(axis=1, initial=-np.inf, keepdims=True) + margin)
    allowed[:, blank] = False
    for frame, mine in zip(frames, allowed, strict=True):
        begun = np.flatnonzero(mine)
        if len(begun) > MOST_BEGUN:
            best = np.argpartition(-frame[begun], MOST_BEGUN - 1)[:MOST_BEGUN]
            begun = np.sort(begun[best])
        yield begun


def _known(hot_words: Sequence[HotWord], vocabulary: Vocabulary) -> frozenset[str]:
    """Words of hot words, as the labels write them."""
    if vocabulary.space is None:
        return frozenset()
    written = (text(encode(word.text, vocabulary), vocabulary) for word in hot_words)
    return frozenset(part for each in written for part in each.split())
