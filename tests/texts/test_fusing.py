import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.texts.fusing import Ranking, fused
from embedsvc.types import Span, TextHit, TextScores

ids = st.lists(st.sampled_from("abcdef"), max_size=8)


def hit(id: str, score: float = 0.5, start: int = 0, **scores: float) -> TextHit:
    return TextHit(id, score, Span(start, start + 1), {}, scores=TextScores(**scores))


def scores(rankings: list[Ranking]) -> dict[str, float]:
    return {each.id: each.score for each in fused(rankings)}


def test_scores_are_weighted_means() -> None:
    found = scores(
        [
            Ranking([hit("a", 0.9), hit("b", 0.3)], 2, 10),
            Ranking([hit("b", 0.8), hit("a", 0.6)], 1, 10),
        ]
    )
    assert list(found) == ["a", "b"]
    assert found == pytest.approx({"a": 0.8, "b": 1.4 / 3})


def test_what_a_full_ranking_lacks_counts_as_its_last_and_else_as_nothing() -> None:
    heard = Ranking([hit("c", 0.5)], 1, 9)
    full = Ranking([hit("a", 0.9), hit("b", 0.7)], 1, 2)
    assert scores([full, heard])["c"] == pytest.approx(0.6)
    assert scores([Ranking(full.hits, 1, 3), heard])["c"] == pytest.approx(0.25)


def test_scores_without_a_unit_count_as_shares_of_the_best() -> None:
    found = scores([Ranking([hit("a", 12.0), hit("b", 3.0)], 1, 10, relative=True)])
    assert found == pytest.approx({"a": 1.0, "b": 0.25})


def test_the_earlier_ranking_says_where_and_all_say_how_well() -> None:
    words = Ranking([hit("a", 3.0, 5, words=3.0)], 2, 10, relative=True)
    phones = Ranking([hit("a", 0.5, 7, phones=0.5), hit("a", 0.4, 9, phones=0.4)], 2, 10)
    (found,) = fused([words, phones])
    assert found.span.start == 5
    assert found.scores == TextScores(words=3.0, phones=0.5)
    assert found.score == pytest.approx(0.75)


@given(st.lists(ids, min_size=1, max_size=3))
def test_each_recording_comes_once_and_scores_fall(rankings: list[list[str]]) -> None:
    found = fused([Ranking([hit(id) for id in each], 1, 8) for each in rankings])
    assert sorted(each.id for each in found) == sorted({id for each in rankings for id in each})
    fallen = [each.score for each in found]
    assert fallen == sorted(fallen, reverse=True)
    assert all(0 < score <= 1 for score in fallen)


def test_nothing_is_nothing() -> None:
    assert fused([Ranking([], 2, 10), Ranking([], 1, 10)]) == []
