"""Cuts what a head says of a recording into segments to be written, in bounded memory.

A frame is quiet when the likeliest label is the blank, or when it holds no sound. Segments end in a
pause; speech without one is cut after `LONGEST`, where a word ends if the head can tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Floats, Vocabulary

PAUSE = SAMPLE_RATE // 2
"""Quiet that ends a segment, in samples: longer than the pauses within a sentence usually are."""

LONGEST = 20 * SAMPLE_RATE
"""Samples in a segment at most: as much as one window of the encoder answers for."""

EDGE = SAMPLE_RATE // 10
"""Quiet that stays on either side of a segment."""


@dataclass(frozen=True)
class Piece:
    """Log-probabilities (T, V) of one segment, the first of them of the label `start`.

    `said` are the first label of it that says something and the one after the last. It is `paused`
    when quiet ended it, and not its length.
    """

    log_probs: Floats
    start: int
    said: tuple[int, int]
    paused: bool = False


class Cutter:
    """Takes labels in any portions; where it cuts does not depend on them.

    `frame` is what one label lasts and `pause` the quiet that ends a segment, in samples. One that
    `speaks` goes on in the middle of speech, at the label `start`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        frame: int,
        pause: int = PAUSE,
        *,
        start: int = 0,
        speaks: bool = False,
    ) -> None:
        self._blank = vocabulary.blank
        self._space = vocabulary.space
        self._pause, self._longest = pause // frame, LONGEST // frame
        self._edge = EDGE // frame
        self._rows: list[Floats] = []
        self._best: list[int] = []
        self._start = start
        self._run = 0
        self._speaks = speaks

    @property
    def start(self) -> int:
        """The label with which what waits begins."""
        return self._start

    @property
    def speaks(self) -> bool:
        """Whether something was said that waits for its end."""
        return self._speaks

    def push(self, log_probs: Floats, active: NDArray[np.bool_] | None = None) -> Iterator[Piece]:
        """The pieces that log-probabilities (T, V) complete, of frames that hold sound or not."""
        best = log_probs.argmax(axis=1)
        if active is not None:
            heard = min(len(active), len(best))
            best[:heard][~active[:heard]] = self._blank
        for row, label in zip(log_probs, best.tolist(), strict=True):
            piece = self._take(row, label)
            if piece is not None:
                yield piece

    def held(self) -> Piece | None:
        """What waits for the rest of its segment; None while nobody speaks."""
        return self._piece(len(self._rows)) if self._speaks and self._rows else None

    def finish(self) -> Iterator[Piece]:
        """The last piece, if somebody still speaks."""
        if self._speaks and self._rows:
            yield self._cut(self._ended(), len(self._rows))

    def _take(self, row: Floats, label: int) -> Piece | None:
        self._rows.append(row)
        self._best.append(label)
        if label == self._blank:
            self._run += 1
        else:
            self._run, self._speaks = 0, True
        if not self._speaks:
            self._forget(len(self._rows) - self._edge)
        elif self._run >= self._pause:
            return self._cut(self._ended(), len(self._rows) - self._edge, paused=True)
        elif len(self._rows) >= self._longest:
            place = self._place()
            return self._cut(place, place)
        return None

    def _ended(self) -> int:
        """The end of what is said, and a little more."""
        return min(len(self._rows), len(self._rows) - self._run + self._edge)

    def _place(self) -> int:
        """Where speech without a pause is cut: the latest space, else the longest quiet."""
        labels = np.array(self._best)
        half = len(labels) // 2
        if self._space is not None:
            spaces = np.flatnonzero(labels[half:] == self._space)
            if len(spaces):
                return half + int(spaces[-1])
        longest, place, run = 0, 0, 0
        for at in range(half, len(labels)):
            run = run + 1 if labels[at] == self._blank else 0
            if run >= max(longest, 1):
                longest, place = run, at + 1 - run // 2
        if place:
            return place
        blanks = np.array([row[self._blank] for row in self._rows[half:]])
        return half + int(blanks.argmax())

    def _cut(self, end: int, keep: int, *, paused: bool = False) -> Piece:
        """The labels up to `end`, as a piece; those from `keep` on stay."""
        piece = self._piece(end, paused=paused)
        self._forget(keep)
        self._run = min(self._run, len(self._rows))
        self._speaks = any(label != self._blank for label in self._best)
        return piece

    def _piece(self, end: int, *, paused: bool = False) -> Piece:
        said = np.flatnonzero(np.array(self._best[:end]) != self._blank)
        first, last = (int(said[0]), int(said[-1]) + 1) if len(said) else (0, 0)
        said_in = (self._start + first, self._start + last)
        return Piece(np.stack(self._rows[:end]), self._start, said_in, paused)

    def _forget(self, count: int) -> None:
        if count > 0:
            del self._rows[:count], self._best[:count]
            self._start += count
