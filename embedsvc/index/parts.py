"""Where the vectors of a collection's spaces stand in what is stored of a segment.

A segment has one row with its vectors of all spaces, one after the other, under one checksum: it
has all of them or none, whatever happens while it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from embedsvc.index.prepared import Halves
from embedsvc.types import Space


@dataclass(frozen=True)
class Part:
    """A space by `number` and `name`: the numbers from `start` to `stop` of a row's `width`."""

    number: int
    name: str
    start: int
    stop: int
    width: int

    @property
    def dim(self) -> int:
        """Dimensions of its vectors."""
        return self.stop - self.start

    def of(self, rows: Halves) -> Halves:
        """Its vectors (N, D) in rows (N, width); not copied when they are all there is."""
        return np.ascontiguousarray(rows[:, self.start : self.stop])


def parts_of(spaces: Mapping[str, Space]) -> tuple[Part, ...]:
    """The parts of these spaces, in their order."""
    edges = np.cumsum([0, *(space.dim for space in spaces.values())]).tolist()
    return tuple(
        Part(number, name, edges[number], edges[number + 1], edges[-1])
        for number, name in enumerate(spaces)
    )
