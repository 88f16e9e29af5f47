"""Across languages: is what says the same found, from each language in each other.

Two questions are asked. Of a pair of languages: among all clips of the other that take part, is
one first that says the same? That is what mining of translations does. Of everything together:
among the clips of all other languages at once? That is what a search in a collection does, and it
is harder where vectors keep the language they were said in.

Letters in shapes: n clips, q queries, c candidates, D dimensions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.types import Floats

DEPTHS = (1, 5, 10)
NEIGHBORS = 4
"""Nearest neighbors whose mean similarity a margin is taken against."""

HUB_DEPTH = 10
LEAST_SHARED = 5
"""Fewest contents that a pair of languages must share."""

_BLOCK = 512

Places = NDArray[np.intp]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Found:
    """How `queries` were answered: `hits` is R@k by k, `chance` that of a random order.

    `xsim` is the error of a nearest neighbor by margin, 1 - R@1.
    """

    queries: int
    hits: Mapping[int, float]
    mrr: float
    xsim: float
    chance: Mapping[int, float]

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "queries": self.queries,
            **{f"r{depth}": share for depth, share in self.hits.items()},
            "mrr": self.mrr,
            "xsim_error": self.xsim,
            **{f"chance{depth}": share for depth, share in self.chance.items()},
        }


@dataclass(frozen=True)
class Crossing:
    """Figures of one kind of vectors.

    `pairs` are by language asked in and language asked for, `together` among all other languages;
    `by_margin` is R@1 of the same by margin, `hubness` the skewness of k-occurrences.
    """

    pairs: Mapping[tuple[str, str], Found]
    together: Found
    by_margin: float
    hubness: float
    languages: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> Mapping[str, float]:
        """Means over all pairs and directions, each counted alike."""
        found = list(self.pairs.values())
        if not found:
            return {}
        return {
            **{
                f"r{depth}": float(np.mean([each.hits[depth] for each in found]))
                for depth in DEPTHS
            },
            "mrr": float(np.mean([each.mrr for each in found])),
            "xsim_error": float(np.mean([each.xsim for each in found])),
            "chance1": float(np.mean([each.chance[1] for each in found])),
        }

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pairs": {f"{a}>{b}": found.as_object() for (a, b), found in self.pairs.items()},
            "mean_of_pairs": dict(self.mean),
            "together": self.together.as_object(),
            "together_r1_by_margin": self.by_margin,
            "hubness": self.hubness,
            "together_r1_by_language": dict(self.languages),
        }


def cross(vectors: Floats, languages: Texts, groups: Texts, *, pairs: bool = True) -> Crossing:
    """Figures of vectors (n, D) of length 1; clips of one group say the same.

    Clips without a group, or whose group no other language has, answer but do not ask. Without
    `pairs`, everything together is all that is measured. Raises `ValueError` when nothing can be
    asked.
    """
    numbers = _numbered(languages), _numbered(groups, empty=True)
    asked, ranks, chances, hubs, margin_ranks = _all_together(vectors, *numbers)
    if not len(asked):
        raise ValueError("`groups` must have one that two `languages` share")
    named = languages[asked]
    return Crossing(
        pairs=dict(_pairs(vectors, languages, groups)) if pairs else {},
        together=_found(ranks, chances, margin_ranks),
        by_margin=float(np.mean(margin_ranks == 0)),
        hubness=skewness(hubs),
        languages={
            str(each): float(np.mean(ranks[named == each] == 0)) for each in np.unique(named)
        },
    )


def neighborhood(scores: Floats, k: int = NEIGHBORS) -> Floats:
    """Mean of the `k` largest of each row of scores (q, c): (q,); those at -inf do not count."""
    k = min(k, scores.shape[1])
    top = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    there = np.isfinite(top)
    total = np.where(there, top, 0).sum(axis=1)
    mean: Floats = (total / np.maximum(there.sum(axis=1), 1)).astype(np.float32)
    return mean


def margins(scores: Floats, asked: Floats, there: Floats) -> Floats:
    """Ratio margins (q, c) of cosines, from the neighborhoods of queries (q,), candidates (c,).

    cos(x, y) / ((a(x) + b(y)) / 2), where a and b are mean cosines of the nearest neighbors
    (Artetxe and Schwenk 2019, "Margin-based parallel corpus mining with multilingual sentence
    embeddings"). Cosines below zero stay as they are, and neighborhoods are kept positive.
    """
    about = np.maximum((asked[:, None] + there[None]) / 2, np.float32(1e-3))
    result: Floats = np.where(scores > 0, scores / about, scores).astype(np.float32)
    return result


def skewness(counts: NDArray[np.intp]) -> float:
    """Third standardized moment of how often each is among the nearest of others.

    0 when all are found alike; large when a few hubs are found everywhere (Radovanović, Nanopoulos
    and Ivanović 2010, "Hubs in space").
    """
    deviation = counts - counts.mean()
    spread = float(np.sqrt(np.mean(deviation**2)))
    return float(np.mean(deviation**3) / spread**3) if spread > 0 else 0.0


def _all_together(
    vectors: Floats, languages: Places, groups: Places
) -> tuple[Places, Places, NDArray[np.float64], Places, Places]:
    """Queries (q,), ranks of right answers, chances (q, depths), hubs (n,), ranks by margin."""
    shared = _shared(languages, groups)
    asked = np.flatnonzero(shared)
    everyone = np.arange(len(vectors))
    near = np.concatenate(
        [
            neighborhood(_scores(vectors, languages, everyone[begin : begin + _BLOCK]))
            for begin in range(0, len(vectors), _BLOCK)
        ]
    )
    ranks, by_margin, chances = [], [], []
    hubs = np.zeros(len(vectors), np.intp)
    for begin in range(0, len(asked), _BLOCK):
        some = asked[begin : begin + _BLOCK]
        scores = _scores(vectors, languages, some)
        right = (groups[some, None] == groups[None]) & np.isfinite(scores)
        ranks.append(_ranks(scores, right))
        by_margin.append(_ranks(margins(scores, near[some], near), right))
        chances.append(_chances(np.isfinite(scores).sum(axis=1), right.sum(axis=1)))
        depth = min(HUB_DEPTH, scores.shape[1])
        nearest = np.argpartition(scores, scores.shape[1] - depth, axis=1)[:, -depth:]
        np.add.at(hubs, nearest.ravel(), 1)
    none = np.zeros(0, np.intp)
    if not ranks:
        return asked, none, np.zeros((0, len(DEPTHS))), hubs, none
    return asked, np.concatenate(ranks), np.concatenate(chances), hubs, np.concatenate(by_margin)


def _pairs(
    vectors: Floats, languages: Texts, groups: Texts
) -> Iterator[tuple[tuple[str, str], Found]]:
    """Figures from each language to each other with which it shares enough."""
    names = np.unique(languages)
    places = {name: np.flatnonzero((languages == name) & (groups != "")) for name in names}
    said = {name: set(groups[places[name]]) for name in names}
    for a in names:
        for b in names:
            both = said[a] & said[b]
            if a == b or len(both) < LEAST_SHARED:
                continue
            first, second = (
                place[np.isin(groups[place], list(both))] for place in (places[a], places[b])
            )
            scores = vectors[first] @ vectors[second].T
            right = groups[first][:, None] == groups[second][None]
            by_margin = margins(scores, neighborhood(scores), neighborhood(scores.T))
            totals = np.full(len(first), len(second))
            yield (
                (str(a), str(b)),
                _found(
                    _ranks(scores, right),
                    _chances(totals, right.sum(axis=1)),
                    _ranks(by_margin, right),
                ),
            )


def _found(ranks: Places, chances: NDArray[np.float64], by_margin: Places) -> Found:
    return Found(
        queries=len(ranks),
        hits={depth: float(np.mean(ranks < depth)) for depth in DEPTHS},
        mrr=float(np.mean(1 / (1 + ranks))),
        xsim=float(np.mean(by_margin > 0)),
        chance=dict(zip(DEPTHS, map(float, chances.mean(axis=0)), strict=True)),
    )


def _scores(vectors: Floats, languages: Places, some: Places) -> Floats:
    """Cosines (q, n) of some clips and all; -inf for those of their own language."""
    scores: Floats = vectors[some] @ vectors.T
    scores[languages[some, None] == languages[None]] = -np.inf
    return scores


def _ranks(scores: Floats, right: NDArray[np.bool_]) -> Places:
    """How many of a row score at least as high as its best right answer, but are wrong."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    above: Places = ((scores >= best) & ~right & np.isfinite(scores)).sum(axis=1)
    return above


def _chances(totals: Places, rights: Places) -> NDArray[np.float64]:
    """Hits of a random order (q, depths)."""
    return np.array(
        [
            [_chance(depth, int(total), int(right)) for depth in DEPTHS]
            for total, right in zip(totals, rights, strict=True)
        ]
    )


def _chance(depth: int, total: int, right: int) -> float:
    """Probability that `depth` of `total` drawn at random hold one of `right`."""
    draws = np.arange(min(depth, total))
    return float(1 - np.prod(np.maximum(total - right - draws, 0) / (total - draws)))


def _shared(languages: Places, groups: Places) -> NDArray[np.bool_]:
    """Whether a clip's group is said in another language too."""
    known = groups >= 0
    both = np.unique(np.stack([groups[known], languages[known]]), axis=1)
    named, counts = np.unique(both[0], return_counts=True)
    result: NDArray[np.bool_] = known & np.isin(groups, named[counts > 1])
    return result


def _numbered(texts: Texts, *, empty: bool = False) -> Places:
    """A number for each text; -1 for empty ones if these mean nothing."""
    _, numbers = np.unique(texts, return_inverse=True)
    result: Places = np.where(empty & (texts == ""), -1, numbers)
    return result
