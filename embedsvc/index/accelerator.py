"""The accelerator: a graph that proposes segments, so that a search need not score all of them.

It only proposes: whatever it finds is scored from the vectors of the base. Once published it
never changes. What is stored later is added to a copy, which then takes its place.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from embedsvc.index.changes import Keys
from embedsvc.index.columns import Mask
from embedsvc.index.flat import use_one_thread
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

RECIPE = "hnsw32-sq8"
"""A graph with 32 links a segment (Malkov and Yashunin, 2018) over vectors of 8 bits a number."""

LINKS = 32

BUILD_EFFORT = 80
"""Segments kept in view while the links of a new one are chosen."""

SAMPLE = 65_536
"""Vectors that the 8-bit scale of each dimension is taken from."""

CHUNK = 2_048
"""Vectors added at once: what a build that is not wanted any more still has to finish."""

EFFORTS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
"""Operating points: segments kept in view while the graph is walked, and then proposed."""

MAX_EFFORT = 4_096

_faiss: Any = faiss  # Its type hints are those of the C++ interface, not of what Python is given.

Blocks = Callable[[int], Iterator[tuple[Keys, Halves]]]
"""Segments after a sid, ascending, some thousand at a time."""


@dataclass(frozen=True)
class Accelerator:
    """A graph over the segments `sids` (M,), which ascend; some may be gone since."""

    index: Any
    sids: Keys

    def __len__(self) -> int:
        return len(self.sids)

    @property
    def upto(self) -> int:
        """The last segment it holds."""
        return int(self.sids[-1]) if len(self.sids) else 0

    def propose(self, query: Floats, effort: int, want: int, allowed: Mask | None) -> Keys:
        """Places among `sids` of up to `want` segments near `query` (D,), best first.

        `effort` is how many are kept in view. `allowed` (M,) says which may be proposed.
        """
        use_one_thread()
        chosen: dict[str, Any] = {"efSearch": effort}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            chosen["sel"] = _faiss.IDSelectorBitmap(bits)
        parameters = _faiss.SearchParametersHNSW(**chosen)
        _, found = self.index.search(query[None], min(want, len(self)), params=parameters)
        places: Keys = found[0][found[0] >= 0]
        return places

    def grown(self, blocks: Blocks, check: Callable[[], None]) -> "Accelerator":
        """A copy that also holds the segments after its last; itself when there are none.

        `check` is called often, and may raise to stop it.
        """
        if next(blocks(self.upto), None) is None:
            return self
        return _filled(_faiss.clone_index(self.index), self.sids, blocks(self.upto), check)

    def serialize(self) -> bytes:
        """The bytes of its file: the graph, and behind it the sids."""
        graph = _faiss.serialize_index(self.index)
        return bytes(np.concatenate([graph, self.sids.astype("<i8").view(np.uint8)]).tobytes())


def build(codes: Halves, blocks: Blocks, check: Callable[[], None]) -> Accelerator:
    """An accelerator over all that `blocks` gives; `codes` (N, D) are the same vectors.

    Takes half of the processors; `check` is called often, and may raise to stop it.
    """
    index = _faiss.IndexHNSWSQ(codes.shape[1], faiss.ScalarQuantizer.QT_8bit, LINKS)
    index.hnsw.efConstruction = BUILD_EFFORT
    step = max(1, len(codes) // SAMPLE)
    faiss.omp_set_num_threads(_threads())
    index.train(codes[::step].astype(np.float32))
    return _filled(index, np.zeros(0, np.int64), blocks(0), check)


def deserialize(content: bytes, count: int) -> Accelerator:
    """The accelerator of `count` segments whose bytes these are."""
    graph, sids = content[: -8 * count], content[-8 * count :]
    index = faiss.deserialize_index(np.frombuffer(graph, np.uint8))
    return Accelerator(index, np.frombuffer(sids, "<i8").astype(np.int64))


def _filled(
    index: Any, sids: Keys, blocks: Iterator[tuple[Keys, Halves]], check: Callable[[], None]
) -> Accelerator:
    held = [sids]
    for more, vectors in blocks:
        for first in range(0, len(more), CHUNK):
            check()
            faiss.omp_set_num_threads(_threads())
            index.add(vectors[first : first + CHUNK].astype(np.float32))
        held.append(more)
    return Accelerator(index, np.concatenate(held))


def _threads() -> int:
    """Half of the processors: searches go on meanwhile."""
    return max(1, (os.cpu_count() or 2) // 2)
