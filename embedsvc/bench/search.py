"""How fast vectors are searched behind filters, and how much of what is there is found."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedsvc.bench import stores
from embedsvc.bench.child import Child
from embedsvc.bench.figures import Spread, percentiles
from embedsvc.bench.stores import CALLERS, TOP_K, Asked, Made
from embedsvc.bench.vectors import Vectors
from embedsvc.errors import FailedPrecondition

__all__ = ["CALLERS", "SHARES", "TOP_K", "Engine", "Row", "Searched", "measure"]

OURS = "embedsvc"

SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)
"""Parts of the vectors that a filter leaves."""

_BLOCK = 65_536
"""Vectors compared at once to find the truth."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """Searches behind a filter that leaves a `share` of the vectors.

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
class Engine:
    """What holds the vectors: what it took to fill it, and how it is searched."""

    name: str
    made: Made
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Searched:
    """All engines with the same vectors; `skipped` are names with the reason."""

    vectors: int
    dim: int
    about: str
    engines: tuple[Engine, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass
class _Runs:
    recalls: list[float] = field(default_factory=list)
    exact: bool = True
    latencies: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    def take(self, asked: Asked, truth: Sequence[Sequence[int]]) -> None:
        """Add one turn."""
        self.recalls.append(stores.share_found(asked.ids, truth))
        self.exact &= asked.exact
        self.latencies += asked.seconds
        self.alone.append(len(asked.seconds) / sum(asked.seconds))
        self.together.append(len(asked.seconds) / asked.together)

    def row(self, share: float) -> Row:
        """All turns."""
        return Row(
            share=share,
            recall=float(np.mean(self.recalls)),
            exact=self.exact,
            alone=Spread.of(self.alone),
            together=Spread.of(self.together),
            latency=percentiles(self.latencies),
        )


def measure(
    vectors: Vectors, directory: Path, rounds: int, against: Sequence[str], tell: Tell
) -> Searched:
    """Fill our collection and those `against` it one after the other, then search by turns."""
    arrays = directory / "arrays"
    arrays.mkdir()
    np.save(arrays / "stored.npy", vectors.stored)
    np.save(arrays / "queries.npy", vectors.queries)
    truth = {share: _nearest(vectors, share) for share in SHARES}
    made: dict[str, Made] = {}
    runs: dict[str, dict[float, _Runs]] = {}
    skipped = []
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for name in (OURS, *against):
            tell(f"{name}: storing {len(vectors.stored):,} vectors")
            try:
                child = stack.enter_context(_child(name, arrays, directory))
                made[name] = child.ask("made", truth[1.0])
            except FailedPrecondition as error:
                skipped.append((name, str(error)))
                continue
            children[name] = child
            runs[name] = {share: _Runs() for share in SHARES}
        for number, share in _turns(rounds):
            tell(f"round {number} of {rounds}: {share:.1%} of the vectors")
            allowed = None if share == 1 else _allowed(share, vectors)
            for name, child in children.items():
                runs[name][share].take(child.ask("search", allowed), truth[share])
    if OURS not in made:
        raise FailedPrecondition(skipped[0][1])
    return Searched(
        vectors=len(vectors.stored),
        dim=vectors.stored.shape[1],
        about=vectors.about,
        engines=tuple(
            Engine(name, made[name], tuple(run.row(share) for share, run in each.items()))
            for name, each in runs.items()
        ),
        skipped=tuple(skipped),
    )


def _child(name: str, arrays: Path, directory: Path) -> Child:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=directory))
    return Child(folder / "log", stores.make, name, arrays, folder / "data")


def _turns(rounds: int) -> Iterator[tuple[int, float]]:
    return ((number + 1, share) for number in range(rounds) for share in SHARES)


def _nearest(vectors: Vectors, share: float) -> list[list[int]]:
    """Numbers of the true nearest of each query, by plain arithmetic over all that are allowed."""
    count = _allowed(share, vectors)
    queries = stores.unit(vectors.queries)
    scores = np.zeros((len(queries), 0), np.float32)
    numbers = np.zeros((len(queries), 0), np.int64)
    for first in range(0, count, _BLOCK):
        last = min(first + _BLOCK, count)
        block = queries @ stores.unit(vectors.stored[first:last]).T
        scores = np.concatenate([scores, block], axis=1)
        numbers = np.concatenate(
            [numbers, np.broadcast_to(np.arange(first, last), block.shape)], axis=1
        )
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]
        scores = np.take_along_axis(scores, best, axis=1)
        numbers = np.take_along_axis(numbers, best, axis=1)
    found: list[list[int]] = numbers.tolist()
    return found


def _allowed(share: float, vectors: Vectors) -> int:
    return max(1, round(share * len(vectors.stored)))
