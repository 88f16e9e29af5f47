"""What a prefix beam search is given, and what is in its beam in the end.

Letters: T frames, V labels, W prefixes in the beam, C labels that a frame may begin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.ahead import Ahead
from embedsvc.ctc.hot_words import Automaton
from embedsvc.ctc.lexicon import Nodes
from embedsvc.ctc.reading import Reading
from embedsvc.ctc.runs import Doubles, Labels

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """Log-probabilities (T, V), and how they are searched.

    `begun` are the labels that may begin, ascending in each frame, of which `counts` (T,) has how
    many are its own. `width` prefixes are followed. Alignments are `summed`, or the best counts.
    What is `ahead` of a node after so many frames counts among prefixes, and not of texts.
    """

    frames: Doubles
    begun: Places
    counts: Places
    blank: int
    width: int
    summed: bool
    hot: Automaton | None = None
    reading: Reading | None = None
    ahead: Ahead | None = None


@dataclass(frozen=True)
class Ended:
    """The prefixes that are left, by the columns that they went on with.

    `total` is what was heard and `bonus` what hot words and words that are over added, `state` of
    hot words, `node` in the trie of words and `context` the words before: each is (W,).
    """

    prefixes: tuple[Labels, ...]
    total: Doubles
    bonus: Doubles
    state: Places
    node: Nodes
    context: Nodes
