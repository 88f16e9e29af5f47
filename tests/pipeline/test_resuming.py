"""Tokens of places in live streams: exact, and nothing else is taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.audio import Statistics, prior
from embedsvc.errors import ResumeTokenInvalid
from embedsvc.pipeline.resuming import Place, place_of, token

CONFIG = b"a head and a plan"
FIELD = "config.resume_token"
near = st.integers(0, 16_000 * 60)


def same(one: Place, other: Place) -> bool:
    numbers = ("sent", "step", "start", "next", "speaks")
    learned, known = one.statistics, other.statistics
    return (
        all(getattr(one, name) == getattr(other, name) for name in numbers)
        and learned.count == known.count
        and np.array_equal(learned.total, known.total)
        and np.array_equal(learned.squares, known.squares)
    )


@given(sent=st.integers(0, 2**40), steps=st.tuples(near, near, near))
def test_a_place_is_found_again(sent: int, steps: tuple[int, int, int]) -> None:
    step, start, following = (sent + each for each in steps)
    for speaks in (False, True):
        place = Place(sent, step, start, following, prior(), speaks=speaks)
        assert same(place_of(token(place, CONFIG), CONFIG, FIELD), place)


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
def test_an_altered_token_is_none(at: int, change: int) -> None:
    data = bytearray(token(Place(0, 320, 640, 16_000, prior()), CONFIG))
    data[at % len(data)] ^= change
    with pytest.raises(ResumeTokenInvalid) as refused:
        place_of(bytes(data), CONFIG, FIELD)
    assert refused.value.field == FIELD


@given(st.binary(max_size=2_000))
def test_other_bytes_are_none(data: bytes) -> None:
    with pytest.raises(ResumeTokenInvalid):
        place_of(data, CONFIG, FIELD)


def test_a_token_of_another_config_is_none() -> None:
    data = token(Place(0, 0, 0, 16_000, prior()), CONFIG)
    with pytest.raises(ResumeTokenInvalid, match="the same config"):
        place_of(data, b"another", FIELD)


@pytest.mark.parametrize(
    "place",
    [
        Place(0, 0, 0, 200 * 16_000, prior()),
        Place(640, 320, 640, 640, prior()),
        Place(2**60, 2**60, 2**60, 2**60, prior()),
        Place(0, 0, 0, 0, Statistics(0.0, np.zeros(80), np.zeros(80))),
        Place(0, 0, 0, 0, Statistics(1.0, np.full(80, np.nan), np.zeros(80))),
        Place(0, 0, 0, 0, Statistics(1.0, np.zeros(80), np.full(80, np.inf))),
    ],
)
def test_numbers_that_no_stream_has_are_refused(place: Place) -> None:
    with pytest.raises(ResumeTokenInvalid):
        place_of(token(place, CONFIG), CONFIG, FIELD)
