"""Text becomes labels, and labels text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.ctc import encode, text
from embedsvc.ctc.vocabulary import check
from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.types import Vocabulary
from tests.ctc.made import PHONES, TEXT, noise

UPPER = Vocabulary(
    ("<pad>", "|", "A", "S", "'", "CH", "C", "\N{LATIN CAPITAL LETTER A WITH ACUTE}"), 0, 1
)


@given(st.lists(st.text("abn", min_size=1, max_size=5), min_size=1, max_size=5))
def test_text_comes_back_from_its_labels(words: list[str]) -> None:
    assert text(encode(" ".join(words), TEXT), TEXT) == " ".join(words)


def test_the_case_is_that_of_the_vocabulary() -> None:
    assert text(encode("Banana", TEXT), TEXT) == "banana"
    assert text(encode("a chas", UPPER), UPPER) == "A CHAS"
    assert encode("chc", UPPER) == (5, 6)


def test_letters_are_composed_and_folded_before_they_are_looked_up() -> None:
    assert encode("a\N{COMBINING ACUTE ACCENT}", UPPER) == (7,)
    assert encode("\N{LATIN SMALL LETTER SHARP S}", UPPER) == (3, 3)
    assert encode("a\N{RIGHT SINGLE QUOTATION MARK}s", UPPER) == (2, 4, 3)


def test_punctuation_that_is_not_said_is_left_out_and_dashes_part_words() -> None:
    assert text(encode("(Ban-ana!), a.", TEXT), TEXT) == "ban ana a"


def test_phones_are_found_with_spaces_and_without() -> None:
    assert encode("tʰ a ʃ", PHONES) == encode("tʰaʃ", PHONES) == (2, 1, 3)
    assert text((2, 0, 1), PHONES) == "tʰ a"


@pytest.mark.parametrize("wrong", ["abc", "a1", "b\N{CJK UNIFIED IDEOGRAPH-4E00}", "a|b", "<s>"])
def test_a_letter_that_the_vocabulary_lacks_is_named(wrong: str) -> None:
    with pytest.raises(InvalidArgument, match=r"has no '.' \(U\+[0-9A-F]{4}\)") as caught:
        encode(wrong, TEXT)
    assert caught.value.field == "text"


@pytest.mark.parametrize("nothing", ["", "  ", "?!", "-"])
def test_text_with_nothing_to_say_is_refused(nothing: str) -> None:
    with pytest.raises(InvalidArgument, match="nothing"):
        encode(nothing, TEXT)


def test_silent_labels_are_not_written_and_unknown_ones_are_marked() -> None:
    assert text((5, 1, 4, 4, 5, 4, 6, 0), TEXT) == "a \N{REPLACEMENT CHARACTER}"


def test_log_probabilities_must_be_of_the_vocabulary() -> None:
    check(noise(0, 3, 4), PHONES)
    with pytest.raises(TensorShape, match=r"\(frames, 4\)"):
        check(noise(0, 3, 5), PHONES)
    with pytest.raises(TensorShape, match="NaN"):
        check(np.full((3, 4), np.nan, np.float32), PHONES)
    with pytest.raises(InvalidArgument, match="blank"):
        check(noise(0, 3, 1), Vocabulary(("",), 0))
