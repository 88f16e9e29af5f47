# ruff: noqa: RUF001  # letters of many scripts look alike

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.texts.terms import Phrase, asked, check_length, covered, is_spaceless, terms_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Guten Tag!", ["guten", "tag"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("Ætt Łódź été", ["ætt", "łodz", "ete"]),
        ("l'amour, don't", ["l", "amour", "don", "t"]),
        ("ﬁne １２", ["fine", "12"]),
        ("Ελλάδα Йод", ["ελλαδα", "иод"]),
        ("שָׁלוֹם سَلام", ["שלום", "سلام"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我们去 Berlin", ["我", "们", "去", "berlin"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("かんじ", ["か", "ん", "じ"]),
        ("... !?", []),
    ],
)
def test_words_are_compared_without_case_optional_marks_and_signs(
    text: str, terms: list[str]
) -> None:
    assert terms_of(text) == terms


@given(st.text(max_size=30))
def test_terms_are_letters_digits_and_marks_and_come_out_of_themselves(text: str) -> None:
    terms = terms_of(text)
    for term in terms:
        assert {unicodedata.category(letter)[0] for letter in term} <= {"L", "N", "M"}
    assert terms_of(" ".join(terms)) == terms


def test_what_is_typed_becomes_phrases_any_of_which_may_match() -> None:
    assert asked('one "two three" fo* one') == (
        Phrase(("one",)),
        Phrase(("two", "three")),
        Phrase(("fo",), prefix=True),
    )


def test_letters_without_spaces_are_asked_for_in_pairs_unless_quoted() -> None:
    assert asked("我们去") == (Phrase(("我", "们")), Phrase(("们", "去")))
    assert asked('"我们去"') == (Phrase(("我", "们", "去")),)
    assert asked("我") == (Phrase(("我",)),)


def test_nothing_that_is_typed_is_a_command() -> None:
    assert asked('" OR NEAR( NOT') == (Phrase(("or",)), Phrase(("near",)), Phrase(("not",)))
    assert asked("terms:x -y ^z a+b") == (
        Phrase(("terms", "x")),
        Phrase(("y",)),
        Phrase(("z",)),
        Phrase(("a", "b")),
    )


@pytest.mark.parametrize("text", ["", "!!!", '""', "*"])
def test_a_text_without_letters_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="`text` must have a letter or a digit"):
        asked(text)


def test_too_many_words_and_letters_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 100 words, but is 101"):
        asked(" ".join(f"w{n}" for n in range(101)))
    with pytest.raises(InvalidArgument, match="at most 1000 characters, but has 1001"):
        check_length("x" * 1_001, "text")
    with pytest.raises(InvalidArgument, match="`phones` must not be empty"):
        check_length("  ", "phones")


def test_the_shortest_run_with_all_that_matched_is_told() -> None:
    terms = ["a", "x", "b", "x", "x", "a", "b", "c"]
    phrases = (Phrase(("a",)), Phrase(("b",)), Phrase(("nowhere",)))
    assert covered(phrases, terms) == (5, 7)
    assert covered((Phrase(("b", "c")),), terms) == (6, 8)
    assert covered((Phrase(("x", "x")), Phrase(("x",))), terms) == (3, 5)
    assert covered((Phrase(("nowhere",)),), terms) == (0, 0)


@given(
    st.lists(st.sampled_from("abc"), max_size=9),
    st.sets(st.lists(st.sampled_from("abcd"), min_size=1, max_size=2).map(tuple), max_size=3),
)
def test_it_is_what_looking_at_every_run_finds(
    terms: list[str], wanted: set[tuple[str, ...]]
) -> None:
    phrases = [Phrase(each) for each in sorted(wanted)]

    def has(phrase: Phrase, start: int, end: int) -> bool:
        return next(phrase.at(terms[start:end]), None) is not None

    everywhere = {phrase for phrase in phrases if has(phrase, 0, len(terms))}
    runs = [
        end - start
        for start in range(len(terms))
        for end in range(start + 1, len(terms) + 1)
        if all(has(phrase, start, end) for phrase in everywhere)
    ]
    start, end = covered(phrases, terms)
    if not everywhere:
        assert (start, end) == (0, 0)
    else:
        assert end - start == min(runs)
        assert all(has(phrase, start, end) for phrase in everywhere)


def test_scripts_without_spaces_are_known() -> None:
    assert [is_spaceless(letter) for letter in "我ทかကa한я"] == [True] * 4 + [False] * 3
