"""Same content: is it found in another language, or by another speaker."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.clips import DEFAULT, Clips
from embedsvc.evaluation.measures import Measure
from embedsvc.evaluation.speech import Row
from embedsvc.types import Floats

TASK = "same content"
DEPTHS = (1, 10)
_BLOCK = 512
_QUERIES = 20
"""Fewest queries worth a figure."""


@dataclass(frozen=True)
class Question:
    """Which clips take part, and what must differ and may not between a query and its answers."""

    name: str
    wanted: Callable[[Row], bool]
    apart: Callable[[Row], str]
    within: Callable[[Row], str] = lambda _: ""


@dataclass(frozen=True)
class Truth:
    """For queries (q,) among candidates (n,): who may answer, and who would be right; (q, n)."""

    queries: NDArray[np.intp]
    allowed: NDArray[np.bool_]
    relevant: NDArray[np.bool_]

    @property
    def chance(self) -> dict[int, float]:
        """Hits of a random order, by depth."""
        totals, rights = self.allowed.sum(axis=1), self.relevant.sum(axis=1)
        return {
            depth: float(
                np.mean([_chance(depth, *pair) for pair in zip(totals, rights, strict=True)])
            )
            for depth in DEPTHS
        }


def _of(corpus: str, split: str = "") -> Callable[[Row], bool]:
    return lambda row: row.corpus == corpus and bool(row.group) and split in {"", row.split}


def _of_regions(row: Row) -> bool:
    return _of("gcompris_voices", "dev")(row) and row.language in {"por", "cmn"}


def _of_countries(row: Row) -> bool:
    return _of("gcompris_voices", "dev")(row) and row.group.startswith("geography/")


QUESTIONS = (
    Question("nEMO, other speaker", _of("emo_nemo"), lambda row: row.speaker),
    Question("EmoDB, other speaker", _of("emo_emodb"), lambda row: row.speaker),
    Question(
        "Arabic commands, other speaker", _of("arabic_commands", "dev"), lambda row: row.speaker
    ),
    Question("GCompris, other language", _of("gcompris_voices", "dev"), lambda row: row.language),
    Question("GCompris country names, other language", _of_countries, lambda row: row.language),
    Question(
        "GCompris, other speaker",
        _of_regions,
        lambda row: row.locale,
        lambda row: row.language,
    ),
)


def measure(clips: Clips) -> Iterator[Measure]:
    """R@1 and R@10 of every question that the clips can answer.

    Vectors of layers and baselines are standardized over the candidates; those of the default
    space are compared as they are.
    """
    for question in QUESTIONS:
        chosen = clips.where(question.wanted)
        truth = truth_of(chosen, question)
        if len(truth.queries) < _QUERIES:
            continue
        found = {
            name: hits(vectors if name == DEFAULT else standardized(vectors), truth)
            for name, vectors in chosen.features().items()
        }
        yield from _measures(question.name, found, truth)


def truth_of(clips: Clips, question: Question) -> Truth:
    """Queries are the clips that have something to find."""
    apart, within = clips.column(question.apart), clips.column(question.within)
    group = clips.column(lambda row: row.group)
    allowed = (apart[:, None] != apart) & (within[:, None] == within)
    relevant = allowed & (group[:, None] == group)
    queries = np.flatnonzero(relevant.any(axis=1))
    return Truth(queries, allowed[queries], relevant[queries])


def standardized(vectors: Floats, by: Floats | None = None) -> Floats:
    """Vectors (n, D) at mean 0 and variance 1 of each dimension, over those of `by`, and unit."""
    by = vectors if by is None else by
    moved = (vectors - by.mean(axis=0)) / (by.std(axis=0) + 1e-6)
    return unit(moved)


def unit(vectors: Floats) -> Floats:
    """Vectors (n, D) at length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


def hits(vectors: Floats, truth: Truth, asked: Floats | None = None) -> dict[int, float]:
    """Share of queries with a right answer among the first 1 and 10, by cosine.

    `vectors` (n, D) are of length 1; `asked` (q, D) are other vectors of the queries.
    """
    asked = vectors[truth.queries] if asked is None else asked
    ranks = np.concatenate(
        [
            _ranks(asked[begin : begin + _BLOCK] @ vectors.T, truth, begin)
            for begin in range(0, len(asked), _BLOCK)
        ]
    )
    return {depth: float(np.mean(ranks < depth)) for depth in DEPTHS}


def _ranks(scores: Floats, truth: Truth, begin: int) -> NDArray[np.intp]:
    """How many others score higher than the best right answer."""
    rows = slice(begin, begin + len(scores))
    best = np.where(truth.relevant[rows], scores, -np.inf).max(axis=1, keepdims=True)
    above: NDArray[np.intp] = ((scores > best) & truth.allowed[rows]).sum(axis=1)
    return above


def _measures(
    name: str, found: Mapping[str, Mapping[int, float]], truth: Truth
) -> Iterator[Measure]:
    chance = truth.chance
    for depth in DEPTHS:
        yield Measure(
            task=TASK,
            name=name,
            figure=f"R@{depth}",
            values={kind: shares[depth] for kind, shares in found.items()},
            chance=chance[depth],
            counts={"clips": truth.allowed.shape[1], "queries": len(truth.queries)},
        )


def _chance(depth: int, total: int, right: int) -> float:
    """Probability that `depth` of `total` drawn at random hold one of `right`."""
    draws = np.arange(min(depth, total))
    return float(1 - np.prod(np.maximum(total - right - draws, 0) / (total - draws)))
