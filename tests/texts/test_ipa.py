# ruff: noqa: RUF001  # IPA looks like other letters, and must

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.texts.ipa import cut, phones_of


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
