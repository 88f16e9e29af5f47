"""What the frames to come say of each place in a list of words.

The beginning of a word that is heard badly falls behind silence, however well its end is heard. So
a beam that may see all frames ranks its prefixes by the best that may become of them, as an A*
search does (Hart et al. 1968; for stacks of hypotheses Paul 1992).

Letters: T frames, V labels, N nodes of the trie, E = N - 1 steps between them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.lexicon import ROOT, Lexicon
from embedsvc.ctc.runs import Doubles

Ahead = NDArray[np.float32]

MOST_CELLS = 1 << 24
"""Frames times nodes that are looked ahead; each takes 4 bytes."""

HOPELESS = -1e6
"""Of a place from which no word can be whole at the end: behind all others, but kept for want of
them."""


def ahead(
    frames: Doubles, beginning: Doubles, lexicon: Lexicon, quiet: Sequence[int], bonus: float
) -> Ahead | None:
    """The best path from each node to the end of a word, behind each frame: (T + 1, N).

    0 is the best node of a frame. `frames` (T, V) are log-probabilities, and `beginning` those of
    labels that may begin, -inf of others; each label is its own symbol. The labels `quiet` stay at
    a node. A word that is over adds `bonus`. An equal label may follow at once, so that no path is
    thought worse than it is. None for more than `MOST_CELLS`.
    """
    count = len(lexicon.steps) + 1
    if (len(frames) + 1) * count > MOST_CELLS:
        return None
    parents, symbols = np.divmod(lexicon.steps, lexicon.symbols)
    first = np.flatnonzero(np.diff(parents, prepend=-1))
    leading = parents[first]
    over = np.full(count, -np.inf)
    over[lexicon.ends] = bonus
    best = over.copy()
    best[ROOT] = 0
    found = np.empty((len(frames) + 1, count), np.float32)
    found[-1] = _ranked(best)
    for place in range(len(frames) - 1, -1, -1):
        # Nodes are numbered as the steps to them are.
        longer = np.maximum.reduceat(beginning[place, symbols] + best[1:], first)
        stays = np.full(count, frames[place, quiet].max())
        stays[1:] = np.maximum(stays[1:], frames[place, symbols])
        best += stays
        best[leading] = np.maximum(best[leading], longer)
        # The root is the first that leads anywhere.
        best = np.maximum(best, over + longer[0])
        found[place] = _ranked(best)
    return found


def _ranked(best: Doubles) -> Doubles:
    top = best.max()
    return np.maximum(best - top, HOPELESS) if top > -np.inf else np.zeros_like(best)
