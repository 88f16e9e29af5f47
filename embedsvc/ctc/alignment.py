"""When each label of a known text is said: Viterbi alignment.

Letters: T frames, V labels, L labels of the text, S = 2L + 1 states: a blank, the first label, a
blank, ..., the last label, a blank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.runs import Doubles, Labels, Run
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats

STAR = -1
"""A label for any stretch of speech that is not written."""

STAR_COST = 0.05
"""What a frame of `STAR` costs, in nats, beside the likeliest label that is not a blank, so that
a written label keeps the frames that are its own."""

MOST_CELLS = 1 << 29
"""Frames times states; one byte each is kept. Enough for a quarter of an hour of dense text."""


@dataclass(frozen=True)
class Alignment:
    """Runs of the labels, one each, and the log-probability of the best path through them."""

    runs: tuple[Run, ...]
    score: float


def align(
    log_probs: Floats, labels: Sequence[int], blank: int, *, field: str = "labels"
) -> Alignment:
    """The likeliest frames (T, V) of each of the labels, in order.

    Raises InvalidArgument if no path of T frames spells the labels, for they are too many or
    have no probability, or if they are too many to align at once. It names `field`, where the
    caller has the labels from.
    """
    wanted = tuple(labels)
    _check(log_probs, wanted, blank, field)
    emissions = _emissions(log_probs, wanted, blank)
    if not wanted:
        return Alignment((), float(emissions.sum()))
    totals, steps = _forward(emissions, _may_skip(wanted))
    state = len(totals) - 1 if totals[-1] >= totals[-2] else len(totals) - 2
    if not np.isfinite(totals[state]):
        raise _impossible(field, "but every path through it has a probability of zero")
    return Alignment(_runs(_back(steps, state), wanted), float(totals[state]))


def fewest_frames(labels: Sequence[int]) -> int:
    """Frames that labels need at least: one each, and a blank between equal ones.

    >>> fewest_frames([1, 1, 2])
    4
    """
    return len(labels) + sum(before == after != STAR for before, after in pairwise(labels))


def _check(log_probs: Floats, labels: Labels, blank: int, field: str) -> None:
    frames, size = log_probs.shape
    for label in labels:
        if label == blank or not (label == STAR or 0 <= label < size):
            raise InvalidArgument(
                f"`{field}` must be from 0 to {size - 1} and not the blank {blank}, but one is "
                f"{label}",
                field=field,
            )
    if fewest_frames(labels) > frames:
        needed = fewest_frames(labels)
        raise _impossible(field, f"but its {len(labels)} labels need {needed} frames")
    cells = frames * (2 * len(labels) + 1)
    if cells > MOST_CELLS:
        raise InvalidArgument(
            f"`{field}` must be aligned in parts: frames times states may be {MOST_CELLS}, but "
            f"are {cells}",
            field=field,
        )


def _impossible(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"`{field}` must fit into the frames, {why}", field=field)


def _emissions(log_probs: Floats, labels: Labels, blank: int) -> Doubles:
    """Log-probabilities (T, L + 1) of each label, the blank last."""
    columns = [*labels, blank]
    found = log_probs[:, columns].astype(np.float64)
    if STAR in labels:
        others = np.delete(log_probs, blank, axis=1).max(axis=1) - STAR_COST
        found[:, [column == STAR for column in columns]] = others[:, None]
    return found


def _may_skip(labels: Labels) -> NDArray[np.bool_]:
    """States (S,) that may follow the label before the last one without a blank between."""
    skips = np.zeros(2 * len(labels) + 1, np.bool_)
    skips[3::2] = [before != after or after == STAR for before, after in pairwise(labels)]
    return skips


def _forward(emissions: Doubles, skips: NDArray[np.bool_]) -> tuple[Doubles, NDArray[np.int8]]:
    """Best totals (S,) after the last frame, and how many states each frame went on by (T, S)."""
    states = len(skips)
    steps = np.zeros((len(emissions), states), np.int8)
    totals = np.full(states + 2, -np.inf)  # two before the first, which no path is in
    now = totals[2:]
    now[0], now[1] = emissions[0, -1], emissions[0, 0]
    closed = np.where(skips, 0.0, -np.inf)
    for frame in range(1, len(emissions)):
        one, two = totals[1:-1], totals[:-2] + closed
        step = steps[frame]
        best = np.maximum(now, one)
        np.greater(one, now, out=step.view(np.bool_))
        step[two > best] = 2
        np.maximum(best, two, out=best)
        best[::2] += emissions[frame, -1]
        best[1::2] += emissions[frame, :-1]
        now[:] = best
    return now.copy(), steps


def _back(steps: NDArray[np.int8], state: int) -> list[int]:
    """The state of each frame."""
    path = []
    for step in steps[::-1]:
        path.append(state)
        state -= int(step[state])
    return path[::-1]


def _runs(path: Sequence[int], labels: Labels) -> tuple[Run, ...]:
    frames = np.array(path)
    states = np.arange(1, 2 * len(labels), 2)
    firsts = np.searchsorted(frames, states, side="left").tolist()
    ends = np.searchsorted(frames, states, side="right").tolist()
    return tuple(map(Run, firsts, ends, labels))
