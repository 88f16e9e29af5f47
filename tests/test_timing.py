from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.timing import (
    FRAME,
    FRAME_RATE,
    HOP,
    MIN_SAMPLES,
    SAMPLE_RATE,
    STRIDE,
    WINDOW,
    frame_count,
    mel_frame_count,
    to_samples,
    to_seconds,
)

YEAR = 365 * 24 * 3600 * SAMPLE_RATE


def test_the_numbers_are_those_of_the_model() -> None:
    assert (WINDOW / SAMPLE_RATE, HOP / SAMPLE_RATE, FRAME / SAMPLE_RATE) == (0.025, 0.01, 0.02)
    assert FRAME_RATE == 50


@given(st.integers(0, 20_000))
def test_every_mel_frame_is_a_window_that_lies_inside(samples: int) -> None:
    starts = range(0, samples - WINDOW + 1, HOP)
    assert mel_frame_count(samples) == len(starts)


@given(st.integers(0, YEAR))
def test_a_frame_is_two_whole_mel_frames(samples: int) -> None:
    assert 0 <= mel_frame_count(samples) - STRIDE * frame_count(samples) < STRIDE


@given(st.integers(0, YEAR))
def test_one_more_frame_of_samples_is_one_more_frame(samples: int) -> None:
    samples += MIN_SAMPLES - FRAME
    assert frame_count(samples + FRAME) == frame_count(samples) + 1


def test_the_shortest_utterance_has_one_frame() -> None:
    assert (frame_count(MIN_SAMPLES - 1), frame_count(MIN_SAMPLES)) == (0, 1)


@settings(max_examples=200)
@given(st.integers(0, YEAR))
def test_samples_survive_the_way_through_seconds(samples: int) -> None:
    assert to_samples(to_seconds(samples)) == samples


@given(st.floats(0, 1e6))
def test_the_nearest_sample_is_half_a_sample_away_at_most(seconds: float) -> None:
    assert abs(to_samples(seconds) - seconds * SAMPLE_RATE) <= 0.5
