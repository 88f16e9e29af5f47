# ruff: noqa: RUF001  # IPA looks like other letters, and must

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.training.phones import SILENCE, Inventory, cut, phones_of, timed


def test_a_letter_keeps_its_modifiers_and_loses_stress_and_tone() -> None:
    assert cut("ˈkʰaːn˧˥ ˌõ1, .") == ("kʰ", "aː", "n", "o\u0303")


@pytest.mark.parametrize("name", ["tʰ", "th", "t_h"])
def test_an_aspirate_is_one_phone_however_it_is_spelled(name: str) -> None:
    assert cut(name) == ("tʰ",)


def test_a_stop_before_h_inside_a_word_stays_two_phones() -> None:
    assert cut("hɒthaʊs") == ("h", "ɒ", "t", "h", "a", "ʊ", "s")


@pytest.mark.parametrize(
    ("name", "phones"),
    [
        ("tʃ", ("t͡ʃ",)), ("t͡ʃ", ("t͡ʃ",)), ("tS", ("t͡ʃ",)), ("tʃ`", ("t͡ʃʼ",)),
        ("ts.h", ("ʈ͡ʂʰ",)), ("s^", ("sʲ",)), ("r#", ("r̥",)), ("t[", ("t̪",)), ('u"', ("ʉ",)),
        ("?", ("ʔ",)), ("A", ("ɑ",)), ("u:", ("uː",)), ("ç", ("ç",)), ("", ()),
        ("(en)", ("e", "n")),
    ],
)  # fmt: skip
def test_ascii_of_the_older_notation_becomes_ipa(name: str, phones: tuple[str, ...]) -> None:
    assert cut(name) == phones


def test_a_name_means_what_its_language_means_by_it() -> None:
    assert phones_of("i.", "cmn") == ("ɻ̩",)
    assert phones_of("i.", "ara") == ("i",)
    assert phones_of("q-", "kor") == ("k͈",)
    assert phones_of("aanɡ", "yue") == ("aː", "ŋ")


@settings(max_examples=60)
@given(st.text(max_size=12))
def test_no_phone_begins_with_a_mark_or_a_capital_or_a_sign(text: str) -> None:
    for phone in cut(text):
        assert unicodedata.category(phone[0]) in {"Ll", "Lo"}


def test_a_name_of_two_phones_is_shared_between_them() -> None:
    found = timed([(0, "t"), (10, "aɪ"), (30, "")], 40, "eng")
    assert found.phones == ("t", "a", "ɪ", SILENCE)
    assert found.times == (0, 10, 20, 30, 40)


def test_what_modifies_the_phone_before_is_joined_to_it() -> None:
    found = timed([(0, "n"), (5, "ʲ"), (9, "a"), (15, "ː")], 20, "rus")
    assert found.phones == ("nʲ", "aː")
    assert found.times == (0, 9, 20)
    assert timed([(0, "t"), (5, "h"), (9, "a")], 20, "kor").phones == ("tʰ", "a")
    assert timed([(0, "t"), (5, "h"), (9, "a")], 20, "eng").phones == ("t", "h", "a")


def test_what_takes_no_time_is_left_out_and_pauses_are_one() -> None:
    found = timed([(0, "a"), (5, ""), (5, "t"), (9, ""), (12, ""), (15, "a")], 15, "deu")
    assert found.phones == ("a", "t", "")
    assert found.times == (0, 5, 9, 15)


def test_a_stop_that_ends_a_cantonese_syllable_is_not_aspirated() -> None:
    assert timed([(0, "k"), (4, "u"), (9, "k"), (12, "")], 20, "yue").phones == (
        "kʰ", "u", "k", "",
    )  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(["", "a", "ts", "aɪ", "ʲ", "ː", "h", "1"])),
        max_size=12,
    )
)
def test_times_never_go_back_and_are_one_more_than_phones(names: list[tuple[int, str]]) -> None:
    found = timed(sorted(names), 100, "kor")
    assert list(found.times) == sorted(found.times)
    assert len(found.times) == (len(found.phones) + 1 if found.phones else 0)


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
