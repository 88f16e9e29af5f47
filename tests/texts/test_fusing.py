import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.texts.fusing import fused
from embedsvc.types import Span, TextHit, TextScores

ids = st.lists(st.sampled_from("abcdef"), max_size=8)


def hit(id: str, start: int = 0, **scores: float) -> TextHit:
    return TextHit(id, 0.5, Span(start, start + 1), {}, scores=TextScores(**scores))


def test_what_is_first_in_every_ranking_scores_one() -> None:
    found = fused([[hit("a"), hit("b")], [hit("a"), hit("c")]])
    assert [each.id for each in found] == ["a", "b", "c"]
    assert found[0].score == pytest.approx(1)
    assert found[1].score == found[2].score == pytest.approx(61 / 62 / 2)


def test_the_earlier_ranking_says_where_and_all_say_how_well() -> None:
    (found,) = fused([[hit("a", 5, words=3.0)], [hit("a", 7, phones=0.5), hit("a", 9, phones=0.4)]])
    assert found.span.start == 5
    assert found.scores == TextScores(words=3.0, phones=0.5)


@given(st.lists(ids, min_size=1, max_size=3))
def test_each_recording_comes_once_and_scores_fall(rankings: list[list[str]]) -> None:
    found = fused([[hit(id) for id in ranking] for ranking in rankings])
    assert sorted(each.id for each in found) == sorted({id for each in rankings for id in each})
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 + 1e-9 for score in scores)
