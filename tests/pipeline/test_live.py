import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import Door, windows
from embedsvc.errors import AudioTooLong, AudioTooShort
from embedsvc.pipeline.live import Live
from embedsvc.timing import MIN_SAMPLES, SAMPLE_RATE
from embedsvc.types import Floats, PcmFormat, SampleFormat, WarningCode, Window, Windowing

PCM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)
SHORT = Windowing(length=SAMPLE_RATE, context=SAMPLE_RATE // 5)


def noise(count: int) -> Floats:
    return np.random.default_rng(count).uniform(-0.5, 0.5, count).astype(np.float32)


def assert_same(found: list[Window], expected: list[Window]) -> None:
    assert [(one.span, one.core) for one in found] == [(one.span, one.core) for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(MIN_SAMPLES, 4 * SAMPLE_RATE),
    sizes=st.lists(st.integers(997, 30_001), min_size=1, max_size=8),
    rate=st.sampled_from([8_000, 16_000]),
    channels=st.integers(1, 2),
)
def test_any_chunks_give_the_same_windows(
    count: int, sizes: list[int], rate: int, channels: int
) -> None:
    pcm = PcmFormat(SampleFormat.S16, rate, channels)
    data = (noise(count * channels) * 32_767).astype("<i2").tobytes()
    whole, live = Live(pcm, Door(), SHORT), Live(pcm, Door(), SHORT)
    expected = whole.push(data) + whole.finish()
    found: list[Window] = []
    place = step = 0
    while place < len(data):
        size = sizes[step % len(sizes)]
        found += live.push(data[place : place + size])
        place, step = place + size, step + 1
    assert_same(found + live.finish(), expected)
    assert live.warnings == whole.warnings


def test_without_a_flush_the_windows_are_those_of_the_recording() -> None:
    sound = noise(5 * SAMPLE_RATE)
    live = Live(PCM, Door(), SHORT)
    assert_same(live.push(sound.tobytes()) + live.finish(), windows(sound, SHORT))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=6))
def test_a_flush_keeps_the_axis_and_loses_nothing(pieces: list[int]) -> None:
    sound = noise(sum(pieces) + MIN_SAMPLES)
    live = Live(PCM, Door(), SHORT)
    found: list[Window] = []
    place = 0
    for size in pieces:
        found += live.push(sound[place : place + size].tobytes())
        found += live.flush()
        place += size
        waiting = place - (found[-1].core.end if found else 0)
        assert waiting < MIN_SAMPLES
    found += live.push(sound[place:].tobytes()) + live.finish()
    end = 0
    for window in found:
        assert window.core.start == end
        assert window.span.start <= window.core.start < window.core.end <= window.span.end
        np.testing.assert_array_equal(window.samples, sound[window.span.start : window.span.end])
        end = window.core.end
    assert end == len(sound)


def test_after_a_flush_nothing_before_it_is_heard() -> None:
    live = Live(PCM, Door(), SHORT)
    (first,) = live.push(noise(8_000).tobytes()) + live.flush()
    (second,) = live.push(noise(9_000).tobytes()) + live.finish()
    assert (first.span.start, first.span.end) == (0, 8_000)
    assert (second.span.start, second.span.end) == (8_000, 17_000)


def test_what_is_less_than_a_frame_waits_for_more() -> None:
    live = Live(PCM, Door(), SHORT)
    assert live.push(noise(MIN_SAMPLES - 1).tobytes()) == []
    assert live.flush() == []
    live.push(noise(1).tobytes())
    (window,) = live.flush()
    assert len(window.core) == MIN_SAMPLES
    assert live.flush() == []


def test_a_rest_of_less_than_a_frame_after_a_flush_is_left_out() -> None:
    live = Live(PCM, Door(), SHORT)
    live.push(noise(8_000).tobytes())
    live.flush()
    live.push(noise(100).tobytes())
    assert live.finish() == []


def test_a_stream_shorter_than_a_frame_is_refused_at_its_end() -> None:
    live = Live(PCM, Door(), SHORT)
    live.push(noise(MIN_SAMPLES - 1).tobytes())
    with pytest.raises(AudioTooShort):
        live.finish()


def test_a_stream_longer_than_allowed_is_refused_when_it_is() -> None:
    live = Live(PCM, Door(max_seconds=1), SHORT)
    live.push(noise(SAMPLE_RATE).tobytes())
    with pytest.raises(AudioTooLong):
        live.push(noise(1).tobytes())


def test_what_was_noticed_is_known_at_the_end() -> None:
    live = Live(PcmFormat(SampleFormat.F32, 8_000, 2), Door(), SHORT)
    live.push(noise(16_000).tobytes())
    live.finish()
    codes = {warning.code for warning in live.warnings}
    assert {WarningCode.RESAMPLED, WarningCode.DOWNMIXED} <= codes
