# ruff: noqa: RUF001  # IPA looks like other letters, and must

from hypothesis import given
from hypothesis import strategies as st

from embedsvc.training.phones import Inventory


def test_a_phone_that_is_rare_is_no_label_and_silence_is_the_first() -> None:
    inventory = Inventory.of([("a", "tʰ", ""), ("a", "b")], least=2)
    assert inventory.labels == ("", "a")


def test_an_unknown_phone_loses_its_modifiers_and_an_unknown_letter_is_left_out() -> None:
    inventory = Inventory(("", "a", "t", "t͡ʃ"))
    assert inventory.encode(["t͡ʃʰ", "tʰ", "aː", "", "q"]) == [3, 2, 1]


@given(st.sets(st.sampled_from("aeioutkpʃʒ"), min_size=1))
def test_a_label_is_its_own_place(letters: set[str]) -> None:
    inventory = Inventory(("", *sorted(letters)))
    assert inventory.encode(inventory.labels) == list(range(1, len(inventory.labels)))
