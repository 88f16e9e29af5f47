"""What keeps vectors and finds the nearest: our collection, and others in its place.

Each gets the same vectors in the same order and filters on their number, and runs in a process
of its own. The others are libraries that need not be there.
"""

import importlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from embedsvc.bench.memory import resident_bytes
from embedsvc.errors import FailedPrecondition
from embedsvc.filters import Range
from embedsvc.index import Catalog, WriteMode
from embedsvc.types import (
    Floats,
    Pooling,
    Recording,
    Segment,
    Segmentation,
    Space,
    Span,
    Windowing,
)

TOP_K = 10
CALLERS = 2
TARGET = 0.95
"""Recall that the others are tuned for, as ours is by default."""

LINKS, BUILD_EFFORT = 32, 80
"""Of graphs that are told; the same as in our collections."""

_EFFORTS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
_PART = 1_024
_BATCH = 256
_DRAW = "draw"
_SECOND = Span(0, 16_000)


@dataclass(frozen=True)
class Asked:
    """Answers to all queries by one caller: ids (Q, up to K), and the seconds of each.

    `together` are the seconds that all took with `CALLERS` at once; `exact` when all say so.
    """

    ids: list[list[int]]
    seconds: list[float]
    together: float
    exact: bool


@dataclass(frozen=True)
class Made:
    """What it took to build, and what it holds; `about` are its settings."""

    add_seconds: float
    ready_seconds: float
    resident: int
    about: str


class Store(Protocol):
    """One way to keep vectors; numbers are given in order from 0."""

    def add(self, first: int, part: Floats) -> None:
        """Store unit vectors (N, D), the first of them number `first`."""

    def ready(self) -> None:
        """Do all that makes searches quick."""

    def tune(self, reaches: Callable[[], bool]) -> str:
        """Look harder until `reaches` says that it is enough; the settings in words."""

    def search(self, query: Floats, allowed: int | None) -> tuple[list[int], bool]:
        """The nearest among the first `allowed`, and whether they are surely the nearest."""


class _Ours:
    """A collection; every vector is a recording of its own."""

    def __init__(self, directory: Path, dim: int, count: int) -> None:
        del count
        self._catalog = Catalog(directory)
        space = Space(
            "bench", "bench", "", 0, Pooling.MEAN, Windowing(), "", normalized=True, dim=dim
        )
        self._held = self._catalog.create("bench", space, Segmentation())

    def add(self, first: int, part: Floats) -> None:
        for start in range(0, len(part), _BATCH):
            made = [
                Recording(str(n), (Segment(_SECOND, vector),), {_DRAW: n}, len(_SECOND))
                for n, vector in enumerate(part[start : start + _BATCH], first + start)
            ]
            outcome = self._held.add(made, mode=WriteMode.INSERT)
            if outcome.failures:
                raise next(iter(outcome.failures.values()))

    def ready(self) -> None:
        self._held.compact()
        self._held.accelerate()

    def tune(self, reaches: Callable[[], bool]) -> str:
        reaches()  # it tunes itself, on what it is asked
        self._held.accelerate()
        info = self._held.info().index
        if info is None or info.recall == 1:
            return info.recipe if info else ""
        return f"{info.recipe}, recall {info.recall:.4f} of {info.measured_on} while tuned"

    def search(self, query: Floats, allowed: int | None) -> tuple[list[int], bool]:
        condition = None if allowed is None else Range(_DRAW, lt=allowed)
        found = self._held.search(query, TOP_K, condition)
        return [int(hit.id) for hit in found.hits], found.exact


class _Hnswlib:
    """https://github.com/nmslib/hnswlib: a graph over float32; filters call Python."""

    def __init__(self, directory: Path, dim: int, count: int) -> None:
        del directory
        self._held = _library("hnswlib").Index(space="ip", dim=dim)
        self._held.init_index(max_elements=count, M=LINKS, ef_construction=BUILD_EFFORT)
        self._held.set_num_threads(os.cpu_count() or 1)

    def add(self, first: int, part: Floats) -> None:
        self._held.add_items(part, np.arange(first, first + len(part)))

    def ready(self) -> None:
        self._held.set_num_threads(1)

    def tune(self, reaches: Callable[[], bool]) -> str:
        for effort in _EFFORTS:
            self._held.set_ef(effort)
            if reaches():
                break
        return f"M {LINKS}, float32, ef {effort}"

    def search(self, query: Floats, allowed: int | None) -> tuple[list[int], bool]:
        only = None if allowed is None else lambda number: number < allowed
        try:
            found, _ = self._held.knn_query(query[None], TOP_K, num_threads=1, filter=only)
        except RuntimeError:  # it found fewer than asked for, and gives none
            return [], False
        return found[0].tolist(), False


class _Usearch:
    """https://github.com/unum-cloud/usearch: a graph over float16; filters what it found."""

    def __init__(self, directory: Path, dim: int, count: int) -> None:
        del directory, count
        self._held = _library("usearch.index").Index(
            ndim=dim, metric="ip", dtype="f16", connectivity=LINKS, expansion_add=BUILD_EFFORT
        )

    def add(self, first: int, part: Floats) -> None:
        self._held.add(np.arange(first, first + len(part)), part, threads=os.cpu_count() or 1)

    def ready(self) -> None:
        pass

    def tune(self, reaches: Callable[[], bool]) -> str:
        for effort in _EFFORTS:
            self._held.expansion_search = effort
            if reaches():
                break
        return f"connectivity {LINKS}, float16, expansion {effort}, fetches more behind a filter"

    def search(self, query: Floats, allowed: int | None) -> tuple[list[int], bool]:
        want = TOP_K
        while True:
            keys = self._held.search(query, want, threads=1).keys
            found = [int(key) for key in keys if allowed is None or key < allowed][:TOP_K]
            if len(found) == TOP_K or want >= len(self._held):
                return found, False
            want = min(4 * want, len(self._held))


class _MilvusLite:
    """https://github.com/milvus-io/milvus-lite: the small Milvus, in this process."""

    def __init__(self, directory: Path, dim: int, count: int) -> None:
        del count
        milvus = _library("pymilvus")
        _library("milvus_lite")
        self._client = milvus.MilvusClient(str(directory / "milvus.db"))
        schema = milvus.MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", milvus.DataType.INT64, is_primary=True)
        schema.add_field("vector", milvus.DataType.FLOAT_VECTOR, dim=dim)
        schema.add_field(_DRAW, milvus.DataType.INT64)
        self._client.create_collection("bench", schema=schema)
        self._effort = _EFFORTS[0]

    def add(self, first: int, part: Floats) -> None:
        rows = [{"id": n, "vector": vector, _DRAW: n} for n, vector in enumerate(part, first)]
        self._client.insert("bench", rows)

    def ready(self) -> None:
        self._client.flush("bench")
        parameters = self._client.prepare_index_params()
        parameters.add_index(
            "vector",
            index_type="HNSW",
            metric_type="IP",
            params={"M": LINKS, "efConstruction": BUILD_EFFORT},
        )
        self._client.create_index("bench", parameters)
        self._client.load_collection("bench")

    def tune(self, reaches: Callable[[], bool]) -> str:
        for effort in _EFFORTS:
            self._effort = effort
            if reaches():
                break
        return f"HNSW, M {LINKS}, ef {effort}"

    def search(self, query: Floats, allowed: int | None) -> tuple[list[int], bool]:
        (found,) = self._client.search(
            "bench",
            [query.tolist()],
            limit=TOP_K,
            filter="" if allowed is None else f"{_DRAW} < {allowed}",
            search_params={"params": {"ef": self._effort}},
        )
        return [hit["id"] for hit in found], False


STORES: dict[str, Callable[[Path, int, int], Store]] = {
    "embedsvc": _Ours,
    "hnswlib": _Hnswlib,
    "usearch": _Usearch,
    "milvus-lite": _MilvusLite,
}


def make(name: str, arrays: Path, directory: Path) -> Callable[..., Any]:
    """Fill the store of that name with what is in `arrays`; what it answers to questions.

    The first question is for what it took, given the true nearest (Q, K) to be tuned for; others
    are for all queries among the first so many.
    """
    stored = np.load(arrays / "stored.npy", mmap_mode="r")
    queries = unit(np.load(arrays / "queries.npy"))
    before = resident_bytes()
    if name not in STORES:
        raise FailedPrecondition(f"`--against` must be of {', '.join(STORES)}, but is {name}")
    directory.mkdir()
    store = STORES[name](directory, stored.shape[1], len(stored))
    started = time.perf_counter()
    for first in range(0, len(stored), _PART):
        store.add(first, unit(stored[first : first + _PART]))
    del stored  # or its pages count as this process's memory
    added = time.perf_counter()
    store.ready()
    ended = time.perf_counter()

    def answer(what: str, given: Any) -> Any:
        if what == "made":
            about = store.tune(lambda: _recall(store, queries, given) >= TARGET)
            resident = resident_bytes() - before
            return Made(added - started, ended - added, resident, about)
        return _asked(store, queries, given)

    return answer


def unit(vectors: np.ndarray) -> Floats:
    """As float32 of length 1."""
    precise = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(precise, axis=1, keepdims=True)
    normalized: Floats = precise / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normalized


def share_found(ids: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    """Of the true nearest, over all queries."""
    shares = [
        len(set(found) & set(near)) / len(near) for found, near in zip(ids, truth, strict=True)
    ]
    return float(np.mean(shares))


def _recall(store: Store, queries: Floats, truth: Sequence[Sequence[int]]) -> float:
    return share_found([store.search(query, None)[0] for query in queries], truth)


def _asked(store: Store, queries: Floats, allowed: int | None) -> Asked:
    ids, seconds, exact = [], [], True
    for query in queries:
        started = time.perf_counter()
        found, sure = store.search(query, allowed)
        seconds.append(time.perf_counter() - started)
        ids.append(found)
        exact &= sure
    started = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(lambda query: store.search(query, allowed), queries))
    return Asked(ids, seconds, time.perf_counter() - started, exact)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FailedPrecondition(
            f"`{name.partition('.')[0]}` must be installed: {error}"
        ) from error
