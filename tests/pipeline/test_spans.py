"""Answers joined into spans: no gaps, no flicker, nothing lost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.pipeline.spans import Mean, Spans
from embedsvc.types import Classification, Evidence, LabelScore, Span, UnknownReason

NOTHING = Evidence(1.0, 2.0, 0.5, 0.25)


def said(label: str, sure: float = 0.8, unknown: UnknownReason | None = None) -> Classification:
    labels = () if unknown else (label,)
    scores = (LabelScore(label, sure), LabelScore("other", 1 - sure))
    return Classification(labels, scores, (label,), NOTHING, unknown)


def number(value: float) -> Classification:
    return Classification((), (), (), NOTHING, None, value, (value - 1, value + 1))


def told(text: str, agree: int) -> list[tuple[str, int, int]]:
    """The spans of answers of a letter each, a sample apart; `?` is unknown."""
    spans = Spans(agree)
    for place, letter in enumerate(text):
        reason = UnknownReason.FAR if letter == "?" else None
        spans.push(place, said(letter, unknown=reason))
    found = spans.finish(len(text))
    return [("".join(each.labels) or "?", span.start, span.end) for span, each in found]


@pytest.mark.parametrize(
    ("text", "agree", "spans"),
    [
        ("", 2, []),
        ("a", 2, [("a", 0, 1)]),
        ("aaaa", 2, [("a", 0, 4)]),
        ("aabb", 2, [("a", 0, 2), ("b", 2, 4)]),
        ("aabaa", 2, [("a", 0, 5)]),
        ("aabaa", 1, [("a", 0, 2), ("b", 2, 3), ("a", 3, 5)]),
        ("aabcbcc", 2, [("a", 0, 5), ("c", 5, 7)]),
        ("aabbbaab", 3, [("a", 0, 2), ("b", 2, 8)]),
        ("aa??aa", 2, [("a", 0, 2), ("?", 2, 4), ("a", 4, 6)]),
        ("ab", 2, [("a", 0, 2)]),
    ],
)
def test_another_answer_counts_when_enough_agree(
    text: str, agree: int, spans: list[tuple[str, int, int]]
) -> None:
    assert told(text, agree) == spans


@given(text=st.text("abc?", max_size=40), agree=st.integers(1, 5))
def test_spans_cover_everything_and_neighbors_differ(text: str, agree: int) -> None:
    found = told(text, agree)
    starts, ends = [start for _, start, _ in found], [end for _, _, end in found]
    assert starts == [0, *ends][: len(found)]
    assert ends[-1:] == ([len(text)] if text else [])
    for (one, _, _), (other, _, _) in itertools.pairwise(found):
        assert one != other
    # But for the first, no span begins unless enough agreed.
    for label, start, _ in found[1:]:
        assert text[start : start + agree] == label * agree


@given(st.text("ab?", max_size=30))
def test_without_agreement_spans_are_runs(text: str) -> None:
    runs = [(letter, len(list(group))) for letter, group in itertools.groupby(text)]
    assert [(label, end - start) for label, start, end in told(text, 1)] == runs


def test_what_is_held_changes_only_when_enough_agree() -> None:
    spans = Spans(2)
    assert not spans.held
    held: list[str] = []
    for place, letter in enumerate("abbaab"):
        spans.push(place, said(letter))
        held.append(spans.held[0])
    assert "".join(held) == "aabbaa"


def test_the_scores_of_a_span_are_the_mean_of_those_that_gave_its_answer() -> None:
    spans = Spans(2)
    for place, (label, sure) in enumerate([("a", 0.6), ("b", 0.9), ("a", 0.8)]):
        spans.push(place, said(label, sure))
    ((span, found),) = spans.finish(3)
    assert span == Span(0, 3)
    assert found.scores[0] == LabelScore("a", pytest.approx(0.7))  # type: ignore[arg-type]  # compares as one
    assert found.prediction_set == ("a",)
    assert found.evidence == NOTHING


def test_numbers_are_not_joined() -> None:
    spans = Spans(3)
    for place, value in enumerate([1.0, 1.0, 4.0]):
        spans.push(10 * place, number(value))
    found = spans.finish(30)
    assert [(span.start, span.end, each.value) for span, each in found] == [
        (0, 10, 1.0),
        (10, 20, 1.0),
        (20, 30, 4.0),
    ]
    assert found[2][1].interval == (3.0, 5.0)


def test_a_mean_is_unknown_when_most_are() -> None:
    mean = Mean()
    for reason in (None, UnknownReason.FAR, UnknownReason.FAR, UnknownReason.TOO_SHORT):
        mean.add(said("a", unknown=reason))
    assert mean.whole().unknown is UnknownReason.FAR
    mean.add(said("a"))
    mean.add(said("a"))
    assert (mean.whole().unknown, mean.whole().labels) == (None, ("a",))
