"""The likeliest label sequences: prefix beam search over log-probabilities.

A sequence is as likely as all its alignments together (Graves et al. 2006), so that a prefix
keeps two totals, of alignments that end in a blank and of those that end in its last label
(Hannun et al. 2014).

Letters: T frames, V labels, W prefixes in the beam, C labels that a frame may say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.hot_words import Automaton, automaton
from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, HotWord, Vocabulary

Places = NDArray[np.intp]

PRUNED = 1e-5
"""A label this much less likely than the best of its frame is not begun there."""

MOST_WIDTH = 1024


@dataclass(frozen=True)
class Candidate:
    """A label sequence, and its log-probability with what hot words add."""

    labels: Labels
    score: float


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
    """The prefixes that are followed: totals, last labels and hot words of each (W,)."""

    prefixes: list[int]
    blank: Doubles
    label: Doubles
    last: Places
    bonus: Doubles
    state: Places


class _Search:
    """One search; `step` takes the frames in order."""

    def __init__(
        self, size: int, blank: int, width: int, hot: Automaton | None, *, summed: bool
    ) -> None:
        self._size, self._blank, self._width, self._hot = size, blank, width, hot
        self._joined: np.ufunc = np.logaddexp if summed else np.maximum
        self._tree = _Prefixes()
        first = np.array([hot.first if hot else 0])
        self._beam = _Beam(
            [0], np.zeros(1), np.full(1, -np.inf), np.array([-1]), np.zeros(1), first
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
        longer = total[:, None] + frame[begun]  # (W, C)
        column = np.full(self._size, -1)
        column[begun] = np.arange(len(begun))
        same = column[beam.last]
        rows = np.flatnonzero((same >= 0) & (beam.last >= 0))
        # An equal label begins anew only after a blank.
        longer[rows, same[rows]] = before[rows] + frame[beam.last[rows]]
        children, parents = self._born
        into = column[beam.last[children]]
        real = into >= 0
        children, parents, into = children[real], parents[real], into[real]
        again[children] = self._joined(again[children], longer[parents, into])
        longer[parents, into] = -np.inf
        beam.label = again
        self._choose(longer, begun)

    def _choose(self, longer: Doubles, begun: Places) -> None:
        """Keep the best of the prefixes that stay and of those that are longer (W, C)."""
        beam, hot = self._beam, self._hot
        count = len(beam.prefixes)
        bonus = np.repeat(beam.bonus[:, None], len(begun), axis=1)
        hope = np.zeros(count + longer.size)
        if hot:
            rows = beam.state[:, None]
            bonus += hot.gain[rows, begun]
            hope = np.concatenate([hot.hope[beam.state], hot.hope[hot.after[rows, begun]].ravel()])
        scores = np.concatenate([self._total() + beam.bonus, (longer + bonus).ravel()])
        kept = self._best_of(scores, hope)
        if kept[-1] < count and len(kept) == count:
            return
        stay, grown = kept[kept < count], kept[kept >= count] - count
        rows, columns = np.divmod(grown, len(begun))
        labels = begun[columns]
        state = hot.after[beam.state[rows], labels] if hot else beam.state[rows]
        child = self._tree.child
        self._beam = _Beam(
            [beam.prefixes[row] for row in stay.tolist()]
            + [
                child(beam.prefixes[row], label)
                for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
            ],
            np.concatenate([beam.blank[stay], np.full(len(grown), -np.inf)]),
            np.concatenate([beam.label[stay], longer[rows, columns]]),
            np.concatenate([beam.last[stay], labels]),
            np.concatenate([beam.bonus[stay], bonus[rows, columns]]),
            np.concatenate([beam.state[stay], state]),
        )
        self._born = self._inner()

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
        order = np.argsort(-scores, kind="stable")[:count]
        return tuple(
            Candidate(self._tree.labels(beam.prefixes[row]), float(scores[row]))
            for row in order.tolist()
        )


def beam(
    log_probs: Floats,
    vocabulary: Vocabulary,
    width: int,
    hot_words: Sequence[HotWord] = (),
    n_best: int = 1,
    *,
    summed: bool = True,
    pruned: float = PRUNED,
) -> tuple[Candidate, ...]:
    """Up to `n_best` of the likeliest label sequences of (T, V), the best first.

    `width` prefixes are followed, or `n_best` if more are asked for. With `pruned` 0 and a width
    of all prefixes the search is exact. Where alignments are not `summed`, a sequence is as likely
    as its best one: a head that was taught frame by frame is as sure of each frame of a label, so
    that the many ways to say a label twice add up to more than the one that was meant.

    Raises InvalidArgument for a width that is not from 1 to `MOST_WIDTH`, and as `automaton` does.
    """
    followed = max(width, n_best)
    if not 1 <= min(width, n_best) <= followed <= MOST_WIDTH:
        raise InvalidArgument(
            f"`beam` must be from 1 to {MOST_WIDTH} wide, but is {width}, and {n_best} texts are "
            "asked for",
            field="beam",
        )
    hot = automaton(hot_words, vocabulary) if hot_words else None
    search = _Search(log_probs.shape[1], vocabulary.blank, followed, hot, summed=summed)
    frames = log_probs.astype(np.float64)
    with np.errstate(divide="ignore"):
        margin = np.log(pruned) - max(0.0, *(word.boost for word in hot_words), 0.0)
    allowed = frames > (frames.max(axis=1, initial=-np.inf, keepdims=True) + margin)
    allowed[:, vocabulary.blank] = False
    for frame, mine in zip(frames, allowed, strict=True):
        search.step(frame, np.flatnonzero(mine))
    return search.best(n_best)
