"""An accelerator on a base: which of the base's segments are worth scoring."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.index import flat
from embedsvc.index.accelerator import MAX_EFFORT, Accelerator
from embedsvc.index.changes import Keys
from embedsvc.index.columns import Mask
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats, IndexInfo

VISITED = 24
"""Segments looked at for one in view: what walking the graph costs beside scoring all allowed.

Measured where a filter makes the two equally quick, with 100,000 vectors of 1,024 dimensions.
"""


FARTHER = 0.75
"""Power of how many segments there are for one that is allowed: how much farther to walk.

With 20,000 vectors of speech and a tenth allowed, 96 in place of 32 found 96 % when the tenth was
drawn at random, and 192 found 97 % when it was of whole recordings; this power gives 180.
"""


@dataclass(frozen=True)
class Tuned:
    """An accelerator with its operating point.

    `accelerator` is None when no effort reached the target; then the base is searched as a whole
    until there is so much more that another attempt is worth it. `trained` is how many segments
    there were when the graph was last begun from nothing, `asked` how many recent queries it was
    tuned on.
    """

    accelerator: Accelerator | None
    effort: int
    trained: int
    asked: int
    info: IndexInfo


@dataclass(frozen=True)
class Proposals:
    """`places` (M,) says where the accelerator's segments are in the base, -1 for those gone.

    None says that they are its first M, none missing. `fresh` holds the segments from `first`
    on, which the accelerator does not know: all of them are scored.
    """

    accelerator: Accelerator
    effort: int
    places: Keys | None
    gone: int
    first: int
    fresh: Any

    def near(self, query: Floats, want: int, widening: int, mask: Mask | None) -> Keys | None:
        """Positions in the base of at least `want` near `query` (D,); None if not worth it.

        `mask` (N,) says which are allowed. It is not worth it when so few are allowed that
        scoring them is quicker, or when those lie so far off that the graph leads elsewhere.
        """
        effort = max(self.effort * widening, want)
        reach, inner = effort, None
        if mask is not None:
            inner = self._inner(mask)
            allowed = int(np.count_nonzero(inner))
            reach = int(effort * (len(inner) / max(1, allowed)) ** FARTHER)
            if allowed <= VISITED * reach:
                return None
        if reach > MAX_EFFORT:
            return None
        known = self.accelerator.propose(query, reach, effort, inner)
        if mask is not None and len(known) < effort:
            return None
        return np.concatenate([self._positions(known), self._of_fresh(query, want, mask)])

    def known(self, query: Floats, effort: int) -> Keys:
        """Positions in the base that the accelerator proposes at an effort not its own."""
        return self._positions(self.accelerator.propose(query, effort, effort, None))

    def _positions(self, known: Keys) -> Keys:
        if self.places is None:
            return known
        positions: Keys = self.places[known]
        return positions[positions >= 0]

    def _inner(self, mask: Mask) -> Mask:
        """Which of the accelerator's segments are allowed."""
        if self.places is None:
            return mask[: len(self.accelerator)]
        inner: Mask = mask[self.places] & (self.places >= 0)
        return inner

    def _of_fresh(self, query: Floats, want: int, mask: Mask | None) -> Keys:
        if not self.fresh.ntotal:
            return np.zeros(0, np.int64)
        places, _ = flat.search(
            self.fresh, query, want, None if mask is None else mask[self.first :]
        )
        return places + self.first


def on_base(tuned: Tuned | None, sids: Keys, codes: Halves) -> Proposals | None:
    """What `tuned` proposes of a base of the segments `sids` (N,), which ascend."""
    if tuned is None or tuned.accelerator is None:
        return None
    return placed(tuned.accelerator, tuned.effort, sids, codes)


def placed(accelerator: Accelerator, effort: int, sids: Keys, codes: Halves) -> Proposals:
    """`accelerator` on a base of the segments `sids` (N,)."""
    held = accelerator.sids
    first = int(np.searchsorted(sids, accelerator.upto, side="right"))
    places, gone = None, 0
    if first != len(held) or not np.array_equal(sids[:first], held):
        at = np.minimum(np.searchsorted(sids, held), max(0, len(sids) - 1))
        places = np.where(sids[at] == held, at, -1) if len(sids) else np.full(len(held), -1)
        gone = int(np.count_nonzero(places < 0))
    return Proposals(accelerator, effort, places, gone, first, flat.of(codes[first:]))
