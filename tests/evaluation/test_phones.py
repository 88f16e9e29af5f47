import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.evaluation.phones import Errors, compare, distance, greedy, reference

LABELS = st.lists(st.integers(1, 4), max_size=8)


def test_repeats_are_merged_before_blanks_are_dropped() -> None:
    best = [0, 2, 2, 0, 2, 1, 1, 0]
    assert greedy(np.eye(3, dtype=np.float32)[best]) == (2, 2, 1)


def test_an_unknown_phone_loses_its_modifiers_and_an_unknown_base_is_left_out() -> None:
    numbers = {"": 0, "t": 1, "tʰ": 2}
    assert reference(["tʰʲ", "tʷ", "ʘ", "tʰ"], numbers) == (2, 1, 2)


@settings(max_examples=50, deadline=None)
@given(LABELS, LABELS, LABELS)
def test_distance_is_a_metric(first: list[int], second: list[int], third: list[int]) -> None:
    assert distance(first, second) == distance(second, first)
    assert (distance(first, second) == 0) == (first == second)
    assert distance(first, third) <= distance(first, second) + distance(second, third)
    assert (
        abs(len(first) - len(second)) <= distance(first, second) <= max(map(len, (first, second)))
    )


def test_errors_add_up_over_all_reference_phones() -> None:
    total = compare([1, 2], [1, 2, 3]) + compare([], [4])
    assert total == Errors(edits=2, phones=4, clips=2)
    assert total.rate == 0.5
    assert Errors().rate == 0
