"""Live PCM as windows of a timeline, whatever the chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import Door
from embedsvc.errors import AudioEmpty, InvalidArgument
from embedsvc.pipeline.live_pieces import LivePieces
from embedsvc.timing import FRAME, MIN_SAMPLES, SAMPLE_RATE
from embedsvc.types import Floats, PcmFormat, SampleFormat, Timeline, Window, Windowing

FORM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)
NOISE: Floats = np.random.default_rng(1).standard_normal(6 * SAMPLE_RATE, np.float32)


def pieces(window: int, hop: int, context: int = SAMPLE_RATE) -> LivePieces:
    timeline = Timeline(window, hop)
    return LivePieces(FORM, Door(), timeline, Windowing(20 * SAMPLE_RATE, context))


def cut(samples: Floats, live: LivePieces, chunk: int) -> list[Window]:
    data = samples.tobytes()
    found = []
    for place in range(0, len(data), chunk):
        found += list(live.push(data[place : place + chunk]))
    return found + list(live.finish())


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(MIN_SAMPLES, len(NOISE)),
    parts=st.integers(1, 4),
    hop=st.integers(5, 60),
    chunk=st.integers(999, 50_000),
)
def test_windows_hold_what_was_sent_and_leave_nothing_out(
    count: int, parts: int, hop: int, chunk: int
) -> None:
    samples = NOISE[:count]
    live = pieces(parts * hop * FRAME, hop * FRAME)
    found = cut(samples, live, chunk)
    for number, window in enumerate(found):
        np.testing.assert_array_equal(window.samples, samples[window.span.start : window.span.end])
        assert window.span.end == window.core.end
        assert 0 <= window.core.start - window.span.start <= SAMPLE_RATE
        assert not window.core.start % FRAME
        assert not window.span.start % FRAME
        whole = window.core.end < count or number < len(found) - 1
        assert not whole or window.core.start == number * hop * FRAME
    # What nobody answered for is less than half a hop, or less than a frame.
    assert count - found[-1].core.end < max(hop * FRAME // 2, MIN_SAMPLES)
    assert found[0].core.start == 0


def test_a_window_is_given_when_its_last_sample_is_there() -> None:
    live = pieces(SAMPLE_RATE, SAMPLE_RATE // 2)
    first = NOISE[: SAMPLE_RATE - 1].tobytes()
    assert list(live.push(first)) == []
    (window,) = live.push(NOISE[SAMPLE_RATE - 1 : SAMPLE_RATE].tobytes())
    assert (window.core.start, window.core.end) == (0, SAMPLE_RATE)


def test_memory_does_not_grow_with_the_stream() -> None:
    live = pieces(SAMPLE_RATE, SAMPLE_RATE // 2, SAMPLE_RATE // 2)
    for _ in range(30):
        for _ in live.push(NOISE[:SAMPLE_RATE].tobytes()):
            pass
        assert len(live._held) <= 3 * SAMPLE_RATE


def test_nothing_is_no_stream() -> None:
    with pytest.raises(AudioEmpty):
        list(pieces(SAMPLE_RATE, SAMPLE_RATE).finish())


def test_a_window_longer_than_the_probe_reads_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 20 s"):
        pieces(30 * SAMPLE_RATE, SAMPLE_RATE)
