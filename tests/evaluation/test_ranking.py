import itertools
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.evaluation import chance_at, hit_at, mean_reciprocal_rank, recall_at

rankings = st.lists(st.sampled_from("abcdef"), unique=True)
wanted = st.sets(st.sampled_from("abcdef"), min_size=1)


@given(ranked=rankings, relevant=wanted)
def test_more_results_never_find_less(ranked: list[str], relevant: set[str]) -> None:
    recalls = [recall_at(k, ranked, relevant) for k in range(8)]
    assert recalls == sorted(recalls)
    assert recalls[0] == 0
    assert recalls[-1] == len(relevant & set(ranked)) / len(relevant)
    assert [hit_at(k, ranked, relevant) for k in range(8)] == [recall > 0 for recall in recalls]


@given(ranked=rankings, relevant=wanted)
def test_the_reciprocal_rank_is_that_of_the_first_hit(
    ranked: list[str], relevant: set[str]
) -> None:
    first = next((k for k in range(1, 8) if hit_at(k, ranked, relevant)), None)
    assert mean_reciprocal_rank([ranked], [relevant]) == (0 if first is None else 1 / first)


def test_the_mean_is_over_all_queries() -> None:
    found = mean_reciprocal_rank([["a", "b"], ["b", "a"], ["c"], []], [{"a"}] * 4)
    assert found == (1 + 1 / 2 + 0 + 0) / 4


def test_every_ranking_has_its_relevant_ids() -> None:
    with pytest.raises(ValueError, match="zip"):
        mean_reciprocal_rank([["a"]], [])


@given(candidates=st.integers(1, 6), relevant=st.integers(0, 6), k=st.integers(0, 8))
def test_chance_is_the_share_of_draws_that_hit(candidates: int, relevant: int, k: int) -> None:
    relevant = min(relevant, candidates)
    draws = list(itertools.combinations(range(candidates), min(k, candidates)))
    hits = sum(any(one < relevant for one in draw) for draw in draws)
    assert isclose(chance_at(k, candidates, relevant), hits / len(draws), abs_tol=1e-12)
