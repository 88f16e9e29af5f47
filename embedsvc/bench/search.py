"""How fast a collection is searched behind filters, and how much of what is there it finds."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedsvc import samples
from embedsvc.audio import Door, decode, features
from embedsvc.bench.figures import Spread, percentiles
from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter, Range
from embedsvc.index import Catalog, Collection, WriteMode
from embedsvc.types import (
    Ask,
    Floats,
    Found,
    Frames,
    OutputSpec,
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
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)
"""Parts of the recordings that a filter leaves."""

_NOISE = 0.6
"""Length of the noise that is added to a vector of length 1."""

_LATENT = 48
_BATCH = 256
_DRAW = "draw"
_SECOND = Span(0, 16_000)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Vectors:
    """What is stored (N, D) and what is asked (Q, D); `about` says where they come from."""

    stored: Floats
    queries: Floats
    about: str


@dataclass(frozen=True)
class Row:
    """Searches behind a filter that leaves a `share` of the recordings.

    `alone` and `together` are searches a second, by one caller and by `CALLERS` at once, over the
    rounds; `latency` is of one caller, in seconds; `recall` is of the true nearest, by number.
    """

    share: float
    recall: float
    exact: bool
    alone: Spread
    together: Spread
    latency: dict[str, float]


@dataclass(frozen=True)
class Searched:
    """The collection: how long it took to fill and to make ready, and how it is searched."""

    vectors: int
    dim: int
    about: str
    add_seconds: float
    compact_seconds: float
    rows: tuple[Row, ...]


@dataclass
class _Runs:
    recalls: list[float] = field(default_factory=list)
    exact: bool = True
    latencies: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)


def of_speech(count: int, queries: int, seed: int = 0) -> Vectors:
    """Vectors of `mini` of the clips that come with the package, each many times with noise."""
    generator = np.random.default_rng(seed)
    encoder = Encoder.load(resolve("mini"))
    stored = _noisy(_embedded(encoder, "archive"), count, generator)
    asked = _noisy(_embedded(encoder, "query"), queries, generator)
    about = f"vectors of mini of the bundled clips, with noise of length {_NOISE:g}"
    return Vectors(stored, asked, about)


def of_dim(count: int, queries: int, dim: int, seed: int = 0) -> Vectors:
    """Vectors without clusters, in which few dimensions matter: hard to search approximately."""
    generator = np.random.default_rng(seed)
    axes = generator.standard_normal((_LATENT, dim)) / _LATENT**0.5
    inner = generator.standard_normal((count + queries, _LATENT)) @ axes
    noise = 0.3 * generator.standard_normal((count + queries, dim))
    drawn = (inner + noise).astype(np.float32)
    about = f"drawn at random: {_LATENT} dimensions within {dim}, and noise"
    return Vectors(drawn[:count], drawn[count:], about)


def of_file(path: Path, queries: int, seed: int = 0) -> Vectors:
    """The array `vectors` (N, D) of a .npz; some of them are kept back to ask with."""
    try:
        with np.load(path) as file:
            vectors = np.asarray(file["vectors"], np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidArgument(f"`--npz` must hold an array `vectors`, but {error}") from error
    if vectors.ndim != 2 or len(vectors) <= queries:
        raise InvalidArgument(
            f"`vectors` of --npz must be (N, D) with more than {queries} rows, but are "
            f"{vectors.shape}"
        )
    order = np.random.default_rng(seed).permutation(len(vectors))
    return Vectors(vectors[order[queries:]], vectors[order[:queries]], f"from {path.name}")


def measure(vectors: Vectors, directory: Path, rounds: int, tell: Tell) -> Searched:
    """Fill a collection in `directory`, and search it behind every filter by turns."""
    dim = vectors.stored.shape[1]
    with Catalog(directory) as catalog:
        collection = catalog.create("bench", _space(dim), Segmentation())
        tell(f"storing {len(vectors.stored):,} vectors of {dim}")
        add_seconds = _timed(lambda: _fill(collection, vectors.stored))
        compact_seconds = _timed(collection.compact)
        runs = {share: _Runs() for share in SHARES}
        truth = {share: _nearest(vectors, share) for share in SHARES}
        for number in range(rounds):
            for share in SHARES:
                tell(f"round {number + 1} of {rounds}: {share:.1%} of the recordings")
                _search(collection, vectors, truth[share], _filter(share, vectors), runs[share])
    return Searched(
        vectors=len(vectors.stored),
        dim=dim,
        about=vectors.about,
        add_seconds=add_seconds,
        compact_seconds=compact_seconds,
        rows=tuple(_row(share, run) for share, run in runs.items()),
    )


def _row(share: float, runs: _Runs) -> Row:
    return Row(
        share=share,
        recall=float(np.mean(runs.recalls)),
        exact=runs.exact,
        alone=Spread.of(runs.alone),
        together=Spread.of(runs.together),
        latency=percentiles(runs.latencies),
    )


def _search(
    collection: Collection,
    vectors: Vectors,
    truth: Sequence[frozenset[str]],
    condition: Filter | None,
    runs: _Runs,
) -> None:
    """Every query, by one caller and then by some at once."""

    def ask(query: Floats) -> tuple[Found, float]:
        started = time.perf_counter()
        found = collection.search(query, TOP_K, condition)
        return found, time.perf_counter() - started

    answers = [ask(query) for query in vectors.queries]
    times = [took for _, took in answers]
    runs.latencies += times
    runs.alone.append(len(times) / sum(times))
    for (found, _), expected in zip(answers, truth, strict=True):
        runs.recalls.append(len({hit.id for hit in found.hits} & expected) / len(expected))
        runs.exact &= found.exact
    with ThreadPoolExecutor(CALLERS) as threads:
        took = _timed(lambda: list(threads.map(ask, vectors.queries)))
    runs.together.append(len(times) / took)


def _nearest(vectors: Vectors, share: float) -> list[frozenset[str]]:
    """Ids of the true nearest of each query, by plain arithmetic."""
    allowed = vectors.stored[: _allowed(share, vectors)].astype(np.float64)
    allowed /= np.linalg.norm(allowed, axis=1, keepdims=True)
    scores = vectors.queries @ allowed.T
    return [frozenset(map(str, np.argsort(-row)[:TOP_K].tolist())) for row in scores]


def _allowed(share: float, vectors: Vectors) -> int:
    return max(1, round(share * len(vectors.stored)))


def _filter(share: float, vectors: Vectors) -> Filter | None:
    return None if share == 1 else Range(_DRAW, lt=_allowed(share, vectors))


def _fill(collection: Collection, stored: Floats) -> None:
    for first in range(0, len(stored), _BATCH):
        part = stored[first : first + _BATCH]
        outcome = collection.add(list(_recordings(part, first)), mode=WriteMode.INSERT)
        if outcome.failures:
            raise next(iter(outcome.failures.values()))


def _recordings(part: Floats, first: int) -> Iterator[Recording]:
    for place, vector in enumerate(part, first):
        yield Recording(str(place), (Segment(_SECOND, vector),), {_DRAW: place}, len(_SECOND))


def _noisy(base: Floats, count: int, generator: np.random.Generator) -> Floats:
    """`count` of the unit vectors of `base`, in turn, each with noise of its own."""
    chosen = base[np.arange(count) % len(base)]
    noise = generator.standard_normal(chosen.shape) / chosen.shape[1] ** 0.5
    noisy: Floats = (chosen + _NOISE * noise).astype(np.float32)
    return noisy


def _embedded(encoder: Encoder, role: str) -> Floats:
    """Default vectors (N, D) of the clips of a role."""
    plan = encoder.plan(OutputSpec(), Windowing())

    def vector(frames: Frames) -> Floats:
        ask = Ask((plan.layer,), None, ((0, len(frames)),))
        (answer,) = encoder.encode([frames], [ask])
        return encoder.finish(plan, answer.moments[plan.layer][0])

    waves = [decode(clip.data(), Door()).samples for clip in samples.clips(role)]
    return np.stack([vector(features(wave)) for wave in waves])


def _space(dim: int) -> Space:
    return Space("bench", "bench", "", 0, Pooling.MEAN, Windowing(), "", normalized=True, dim=dim)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
