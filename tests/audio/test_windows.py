import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import Windower, core_frames, windows
from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, SAMPLE_RATE, frame_count
from embedsvc.types import Floats, Span, Window, Windowing

SECOND = SAMPLE_RATE
SHORT = Windowing(length=2 * SECOND, context=SECOND // 5)

windowings = st.builds(
    lambda length, share: Windowing(length, max(1_600, int(length * share))),
    st.integers(SECOND, 3 * SECOND),
    st.floats(0.0, 1.0),
)


def noise(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 12 * SECOND), windowing=windowings, seed=st.integers(0, 9))
def test_the_cores_tile_the_recording_and_their_frames_are_its_frames(
    count: int, windowing: Windowing, seed: int
) -> None:
    sound = noise(count, seed)
    place = 0
    frames: list[int] = []
    found = windows(sound, windowing)
    for window in found:
        assert window.core.start == place
        assert window.span.start % FRAME == window.core.start % FRAME == 0
        assert window.span.start <= window.core.start < window.core.end <= window.span.end
        np.testing.assert_array_equal(window.samples, sound[window.span.start : window.span.end])
        first, end = core_frames(window)
        assert end <= frame_count(len(window.samples)) or count < 560
        frames += [window.span.start // FRAME + frame for frame in range(first, end)]
        place = window.core.end
    assert place == count
    assert frames == list(range(frame_count(count)))
    for window in found[:-1]:
        assert windowing.length // 2 - FRAME <= len(window.core) <= windowing.length
        assert window.core.end % FRAME == window.span.end % FRAME == 0
        assert window.span.end - window.core.end == windowing.context // FRAME * FRAME
    assert len(found[-1].core) <= windowing.length + windowing.context


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 8 * SECOND), windowing=windowings, seed=st.integers(0, 2**31))
def test_the_windows_do_not_depend_on_the_pieces(
    count: int, windowing: Windowing, seed: int
) -> None:
    sound, random = noise(count), np.random.default_rng(seed)
    windower, place = Windower(windowing), 0
    found: list[Window] = []
    while place < count:
        size = int(random.integers(1, 20_000))
        found += windower.push(sound[place : place + size])
        place += size
    found += windower.finish()
    expected = windows(sound, windowing)
    assert [(window.span, window.core) for window in found] == [
        (window.span, window.core) for window in expected
    ]
    for window, same in zip(found, expected, strict=True):
        np.testing.assert_array_equal(window.samples, same.samples)


def test_short_audio_is_one_window() -> None:
    sound = noise(SHORT.length)
    (window,) = windows(sound, SHORT)
    assert window.span == window.core == Span(0, len(sound))
    np.testing.assert_array_equal(window.samples, sound)


def test_no_audio_has_no_windows() -> None:
    assert windows(noise(0), SHORT) == []


def test_the_cut_is_in_the_pause() -> None:
    sound = noise(5 * SECOND)
    sound[24_000:28_000] *= 1e-3
    first = windows(sound, SHORT)[0]
    assert 24_000 + 1_600 <= first.core.end <= 28_000 - 1_600 + FRAME


def test_equally_quiet_places_are_cut_at_the_latest() -> None:
    sound = np.zeros(5 * SECOND, np.float32)
    assert windows(sound, SHORT)[0].core.end == SHORT.length


def test_a_window_comes_as_soon_as_it_is_certain() -> None:
    windower, sound = Windower(SHORT), noise(5 * SECOND)
    needed = SHORT.length + SHORT.context
    assert windower.push(sound[:needed]) == []
    assert len(windower.push(sound[needed : needed + 1])) == 1


def test_a_window_keeps_its_samples_when_more_are_pushed() -> None:
    windower = Windower(SHORT)
    (window,) = windower.push(noise(SHORT.length + SHORT.context + 1))
    before = window.samples.copy()
    windower.push(noise(20_000, seed=1))
    np.testing.assert_array_equal(window.samples, before)


@pytest.mark.parametrize(
    ("windowing", "field"),
    [
        (Windowing(SECOND - 1, 1_600), "windowing.length"),
        (Windowing(60 * SECOND + 1, 1_600), "windowing.length"),
        (Windowing(SECOND, 1_599), "windowing.context"),
        (Windowing(SECOND, SECOND + 1), "windowing.context"),
    ],
)
def test_windowing_out_of_bounds_is_refused(windowing: Windowing, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Windower(windowing)
    assert caught.value.field == field
