"""Frames in which a label is said, and the greedy way to find them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from embedsvc.types import Floats

Doubles = NDArray[np.float64]
Labels = tuple[int, ...]


@dataclass(frozen=True, order=True)
class Run:
    """A label, and the frames from `start` up to `end` in which it is said."""

    start: int
    end: int
    label: int


def greedy(log_probs: Floats, blank: int) -> tuple[Run, ...]:
    """The best label of each frame of (T, V), repeats merged and blanks dropped: CTC's rule."""
    return runs_of(log_probs.argmax(axis=1).tolist(), blank) if len(log_probs) else ()


def runs_of(path: Sequence[int], blank: int) -> tuple[Run, ...]:
    """Runs of a path, which is one label for each frame.

    >>> runs_of([0, 2, 2, 0, 2], blank=0)
    (Run(start=1, end=3, label=2), Run(start=4, end=5, label=2))
    """
    found, frame = [], 0
    for label, same in groupby(path):
        end = frame + sum(1 for _ in same)
        if label != blank:
            found.append(Run(frame, end, label))
        frame = end
    return tuple(found)


def labels_of(runs: Sequence[Run]) -> Labels:
    """What is said, without the frames."""
    return tuple(run.label for run in runs)
