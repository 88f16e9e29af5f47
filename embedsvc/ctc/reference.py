"""The prefix beam search in Python: what that in C means, and what serves where there is none.

A sequence is as likely as all its alignments together (Graves et al. 2006), so that a prefix
keeps two totals, of alignments that end in a blank and of those that end in its last label
(Hannun et al. 2014).

Letters: T frames, V labels, W prefixes in the beam, C labels that a frame may begin, K columns: the
labels, each perhaps within a word and behind it.
"""

from dataclasses import dataclass

import numpy as np

from embedsvc.ctc.beams import Ended, Places, Problem
from embedsvc.ctc.reading import Followed, Over
from embedsvc.ctc.runs import Doubles, Labels


class _Prefixes:
    """All prefixes that were ever in the beam, as a tree; 0 is the empty one."""

    def __init__(self) -> None:
        self._parents = [-1]
        self._columns = [-1]
        self._children: dict[tuple[int, int], int] = {}

    def child(self, prefix: int, column: int) -> int:
        """The prefix that goes on with `column`; the same one each time."""
        found = self._children.setdefault((prefix, column), len(self._parents))
        if found == len(self._parents):
            self._parents.append(prefix)
            self._columns.append(column)
        return found

    def parent(self, prefix: int) -> int:
        """The prefix without its last column; -1 of the empty one."""
        return self._parents[prefix]

    def columns(self, prefix: int) -> Labels:
        """What a prefix went on with."""
        found = []
        while prefix:
            found.append(self._columns[prefix])
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

    def __init__(self, problem: Problem) -> None:
        self._size, self._blank, self._width = problem.frames.shape[1], problem.blank, problem.width
        self._hot, self._reading = hot, reading = problem.hot, problem.reading
        self._ahead, self._frame = problem.ahead, 0
        self._joined: np.ufunc = np.logaddexp if problem.summed else np.maximum
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
        self._frame += 1
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
            if self._ahead is not None:
                nodes = np.concatenate([beam.followed.node, followed.node.ravel()])
                scores += self._ahead[self._frame, nodes]
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
        best = _largest(scores, self._width)
        if not hope[best].any():
            return best
        sober = _largest(scores - hope, (self._width + 1) // 2)
        rest = np.setdiff1d(best, sober)
        rest = rest[_largest(scores[rest], self._width - len(sober))]
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

    def _labels(self, prefix: int) -> Labels:
        return tuple(column % self._size for column in self._tree.columns(prefix))

    def ended(self) -> Ended:
        """What is left after the last frame."""
        beam = self._beam
        prefixes = tuple(map(self._tree.columns, beam.prefixes))
        known = beam.followed
        return Ended(prefixes, self._total(), beam.bonus, beam.state, known.node, known.context)


def _largest(values: Doubles, count: int) -> Places:
    """Places of the largest values, ascending; of equal ones the first."""
    if count < 1 or len(values) <= count:
        return np.arange(len(values))[: max(0, count)]
    edge = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > edge)
    equal = np.flatnonzero(values == edge)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))


def followed(problem: Problem) -> Ended:
    """What is left of the beam behind the last frame."""
    search = _Search(problem)
    ends = np.cumsum(problem.counts)
    for frame, count, end in zip(problem.frames, problem.counts, ends, strict=True):
        search.step(frame, problem.begun[end - count : end])
    return search.ended()
