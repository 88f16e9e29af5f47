"""What was heard is compared with what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.ctc.edits import (
    Edit,
    ErrorCounts,
    character_errors,
    count,
    right,
    steps,
    word_errors,
)
from embedsvc.evaluation.phones import distance

ITEMS = st.lists(st.integers(0, 3), max_size=8)


@given(ITEMS, ITEMS)
def test_edits_are_as_few_as_can_be(heard: list[int], said: list[int]) -> None:
    assert count(heard, said).edits == distance(heard, said)


@given(ITEMS, ITEMS)
def test_steps_go_through_both_in_order(heard: list[int], said: list[int]) -> None:
    found = steps(heard, said)
    assert [step.heard for step in found if step.heard is not None] == list(range(len(heard)))
    assert [step.said for step in found if step.said is not None] == list(range(len(said)))
    for step in found:
        if step.edit in {Edit.SAME, Edit.SUBSTITUTED}:
            assert step.heard is not None
            assert step.said is not None
            assert (heard[step.heard] == said[step.said]) is (step.edit is Edit.SAME)


@given(ITEMS, ITEMS)
def test_what_is_inserted_one_way_is_deleted_the_other(heard: list[int], said: list[int]) -> None:
    there, back = count(heard, said), count(said, heard)
    assert there.edits == back.edits
    assert there.inserted - there.deleted == back.deleted - back.inserted == len(heard) - len(said)


@given(ITEMS)
def test_nothing_is_wrong_with_what_was_said(said: list[int]) -> None:
    assert count(said, said) == ErrorCounts(said=len(said))
    assert all(right(said, said))


def test_each_item_that_was_heard_is_right_or_not() -> None:
    assert right("xabd", "abcd") == (False, True, True, True)
    assert right("", "abcd") == ()
    assert right("ab", "") == (False, False)


def test_rates_are_of_what_was_said_in_all_texts() -> None:
    total = word_errors("the cat  sat", "the cat sat down") + word_errors("a b c", "x")
    assert total == ErrorCounts(substituted=1, inserted=2, deleted=1, said=5)
    assert total.rate == pytest.approx(4 / 5)
    assert character_errors("the  cat", "the bat").rate == pytest.approx(1 / 7)
    assert word_errors("more words", "").rate == 2
