"""Scoring every vector: FAISS over half-precision codes, which is exact, and over floats."""

from typing import Any

import faiss
import numpy as np

from embedsvc.index.changes import Keys
from embedsvc.index.columns import Mask
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

_faiss: Any = faiss  # Its type hints are those of the C++ interface, not of what Python is given.


def empty(dim: int) -> Any:
    """A FAISS index of half-precision codes that scores by inner product."""
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def of(codes: Halves) -> Any:
    """Such an index over a copy of `codes` (N, D), taken as they are."""
    index = empty(codes.shape[1])
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).view(np.uint8).ravel(), index.codes)
    index.ntotal = len(codes)
    return index


def search(index: Any, query: Floats, want: int, mask: Mask | None = None) -> tuple[Keys, Floats]:
    """Places and scores of the `want` best of `index` for `query` (D,), among those of `mask`."""
    use_one_thread()
    parameters = None
    if mask is not None:
        bits = np.packbits(mask, bitorder="little")
        parameters = _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(bits))
    scores, found = index.search(query[None], min(want, index.ntotal), params=parameters)
    real = found[0] >= 0
    return found[0][real], scores[0][real]


def best_of_halves(codes: Halves, query: Floats, want: int) -> tuple[Keys, Floats]:
    """Places and scores of the `want` best of `codes` (N, D) for `query` (D,).

    To make floats of them with numpy takes three times as long as to copy them into an index.
    """
    return search(of(codes), query, want)


def best(vectors: Floats, query: Floats, want: int) -> tuple[Keys, Floats]:
    """Places and scores of the `want` best of `vectors` (N, D) for `query` (D,).

    Not a product with numpy, whose BLAS would set all cores to work for one search: three times
    slower than one thread when others search too.
    """
    if not len(vectors):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    use_one_thread()
    want = min(want, len(vectors))
    scores, found = faiss.knn(query[None], vectors, want, metric=faiss.METRIC_INNER_PRODUCT)
    return found[0], scores[0]


def use_one_thread() -> None:
    """For what this thread asks of FAISS next.

    The setting belongs to the calling thread, and callers come from a pool of many: threads of
    ours times threads of FAISS is how servers grind to a halt.
    """
    faiss.omp_set_num_threads(1)
