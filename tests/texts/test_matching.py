import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.texts import matching
from embedsvc.texts.matching import INSERTED, SCALE, Costs, Numbers, costs, occurrences, scores

SYMBOLS = ["a", "e", "t", "d", "s"]
words = st.lists(st.integers(0, 4), min_size=1, max_size=6)
sequences = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=14), min_size=1, max_size=6)


def numbers(values: list[int]) -> Numbers:
    return np.array(values, np.uint16)


def table_of(query: list[int]) -> Costs:
    return costs([SYMBOLS[each] for each in query], SYMBOLS)


def cheapest(table: Costs, heard: list[int]) -> int:
    """The least cost of any stretch of `heard`, cell by cell."""
    least = SCALE * len(table)
    for start in range(len(heard)):
        row = [SCALE * place for place in range(len(table) + 1)]
        for phone in heard[start:]:
            before, row = row, [row[0] + INSERTED]
            for place in range(len(table)):
                substituted = before[place] + int(table[place, phone])
                row.append(min(substituted, before[place + 1] + INSERTED, row[place] + SCALE))
            least = min(least, row[-1])
    return least


@settings(max_examples=150)
@given(words, sequences)
def test_scores_are_those_of_every_stretch_tried_out(
    query: list[int], heard: list[list[int]]
) -> None:
    table = table_of(query)
    expected = [1 - cheapest(table, each) / (SCALE * len(query)) for each in heard]
    assert scores(table, [numbers(each) for each in heard]).tolist() == expected


@settings(max_examples=40)
@given(words, sequences)
def test_they_are_the_same_however_many_are_aligned_at_once(
    query: list[int], heard: list[list[int]]
) -> None:
    table, arrays = table_of(query), [numbers(each) for each in heard]
    whole = scores(table, arrays).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "CHUNK", 8)
        assert scores(table, arrays).tolist() == whole


@settings(max_examples=100)
@given(words, st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_occurrences_lie_apart_within_the_sequence_the_best_first(
    query: list[int], heard: list[int]
) -> None:
    table = table_of(query)
    found = occurrences(table, numbers(heard), 5)
    best = float(scores(table, [numbers(heard)])[0])
    assert [each.score for each in found][:1] == ([best] if best > 0 else [])
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    taken: set[int] = set()
    for each in found:
        assert 0 <= each.start < each.end <= len(heard)
        assert 1 - cheapest(table, heard[each.start : each.end]) / (SCALE * len(query)) == (
            pytest.approx(each.score)
        )
        places = set(range(each.start, each.end))
        assert not places & taken
        taken |= places


def test_the_very_phones_score_one_where_they_are() -> None:
    (found,) = occurrences(table_of([2, 0, 4]), numbers([1, 1, 2, 0, 4, 1, 3]), 1)
    assert (found.score, found.start, found.end) == (1.0, 2, 5)


def test_a_near_phone_costs_less_than_a_far_one() -> None:
    near, far = numbers([3, 0, 4]), numbers([1, 0, 4])
    assert scores(table_of([2, 0, 4]), [near])[0] > scores(table_of([2, 0, 4]), [far])[0]


def test_nothing_is_nowhere() -> None:
    assert scores(table_of([0]), []).tolist() == []
    assert occurrences(table_of([0, 0]), numbers([2]), 3) == []
    assert scores(table_of([0, 0]), [numbers([]), numbers([0])]).tolist() == [0.0, 0.5]


def test_a_long_sequence_is_aligned_with_exact_numbers() -> None:
    heard = np.zeros(200_000, np.uint16)
    heard[150_000:150_003] = (2, 4, 2)
    (found,) = occurrences(table_of([2, 4, 2]), heard, 1)
    assert (found.score, found.start, found.end) == (1.0, 150_000, 150_003)
