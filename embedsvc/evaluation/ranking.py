"""How good a ranking is."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import comb


def hit_at(k: int, ranked: Sequence[str], relevant: AbstractSet[str]) -> bool:
    """Whether a relevant id is among the first `k`.

    >>> hit_at(1, ["a", "b"], {"b"}), hit_at(2, ["a", "b"], {"b"})
    (False, True)
    """
    return bool(relevant & set(ranked[:k]))


def recall_at(k: int, ranked: Sequence[str], relevant: AbstractSet[str]) -> float:
    """Share of the relevant ids found among the first `k`.

    >>> recall_at(2, ["a", "b", "c"], {"b", "c"})
    0.5
    """
    return len(relevant & set(ranked[:k])) / len(relevant)


def mean_reciprocal_rank(
    rankings: Sequence[Sequence[str]], relevant: Sequence[AbstractSet[str]]
) -> float:
    """Mean of 1 / rank of the first relevant id; 0 where none was found.

    >>> mean_reciprocal_rank([["a", "b"], ["a"]], [{"b"}, {"c"}])
    0.25
    """
    ranks = (
        next((rank for rank, name in enumerate(ranked, 1) if name in wanted), None)
        for ranked, wanted in zip(rankings, relevant, strict=True)
    )
    return sum(1 / rank for rank in ranks if rank) / len(rankings)


def chance_at(k: int, candidates: int, relevant: int) -> float:
    """Probability that `k` of `candidates` drawn at random hold one of `relevant`.

    >>> chance_at(1, 4, 1), chance_at(9, 10, 2)
    (0.25, 1.0)
    """
    k = min(k, candidates)
    return 1 - comb(candidates - relevant, k) / comb(candidates, k)
