# ruff: noqa: RUF001  # IPA looks like other letters, and must

from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.texts.timed import SILENCE, timed


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
