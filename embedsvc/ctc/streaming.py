"""Text while speech goes on: what is stable of it, and frames of windows that overlap.

Letters: T frames, V labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME
from embedsvc.types import Floats, Span, Word


@dataclass(frozen=True)
class Agreement:
    """Words that two hypotheses in a row agree on, which are never taken back, and the others.

    The local agreement of Liu et al. (2020), with two hypotheses, as Machacek et al. (2023) use
    it: `stable` is what both begin with. What ended long ago is stable without that, or else one
    word that goes back and forth would hold up all behind it.
    """

    stable: tuple[Word, ...] = ()
    unstable: tuple[Word, ...] = ()

    def heard(self, words: Sequence[Word], settled: int = 0) -> "Agreement":
        """What is stable after a new hypothesis, of all the speech or of the end of it.

        Words that begin before the middle of the last stable one are passed over, whatever they
        are: it may have been told before it had ended. Those that end before the sample `settled`
        are stable.
        """
        fresh = self._after(words)
        agreed = 0
        for before, now in zip(self.unstable, fresh, strict=False):
            if before.text != now.text and now.span.end > settled:
                break
            agreed += 1
        return Agreement((*self.stable, *fresh[:agreed]), fresh[agreed:])

    def finished(self) -> "Agreement":
        """All of it stable: nothing more is heard."""
        return Agreement((*self.stable, *self.unstable))

    def _after(self, words: Sequence[Word]) -> tuple[Word, ...]:
        if not self.stable:
            return tuple(words)
        told = self.stable[-1].span
        return tuple(word for word in words if 2 * word.span.start >= told.start + told.end)


@dataclass(frozen=True)
class Part:
    """Log-probabilities (T, V) of a window that hears `span` and answers for `core` of it."""

    log_probs: Floats
    span: Span
    core: Span


@dataclass(frozen=True)
class Stitched:
    """Log-probabilities (T, V) of speech from the sample `start` on, each frame once."""

    log_probs: Floats
    start: int


def core_rows(part: Part, frame: int = FRAME, *, last: bool = False) -> tuple[int, int]:
    """Which frames of a window are its core's, as (first, end).

    Frames of all windows are counted on one grid, to the nearest frame, so that those of cores
    that follow each other do too, even where windows begin between frames. The `last` window
    answers for what is left.
    """
    first = _place(part.core.start, frame) - _place(part.span.start, frame)
    count = len(part.log_probs)
    end = count if last else _place(part.core.end, frame) - _place(part.span.start, frame)
    if not 0 <= first <= max(end, first) <= count:
        raise InvalidArgument(
            f"`core` must be heard by its window, but has the frames {first} to {end} of {count}",
            field="core",
        )
    return first, max(first, end)


def _place(sample: int, frame: int) -> int:
    return (sample + frame // 2) // frame


def stitch(parts: Iterable[Part], frame: int = FRAME) -> Stitched:
    """The cores of windows that follow each other, as if one window had heard them all.

    Raises InvalidArgument if a core does not begin where the one before it ends.
    """
    every = list(parts)
    if not every:
        raise InvalidArgument("`parts` must have a window, but have none", field="parts")
    for before, after in pairwise(every):
        if before.core.end != after.core.start:
            raise InvalidArgument(
                f"`parts` must follow each other, but a core ends at {before.core.end} and the "
                f"next begins at {after.core.start}",
                field="parts",
            )
    rows = [core_rows(part, frame, last=part is every[-1]) for part in every]
    log_probs = np.concatenate(
        [part.log_probs[first:end] for part, (first, end) in zip(every, rows, strict=True)]
    )
    return Stitched(log_probs, _place(every[0].core.start, frame) * frame)
