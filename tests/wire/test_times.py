import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Span, Timing
from embedsvc.wire import times

YEARS = 9 * 365 * 24 * 3600

samples = st.integers(0, YEARS * SAMPLE_RATE)
stages = st.floats(0, 1e5)


@settings(max_examples=150, deadline=None)
@given(samples)
def test_samples_survive_exactly(count: int) -> None:
    message = times.sample_duration(count)
    assert times.samples(message, "t") == count
    assert message.seconds * 10**9 + message.nanos == count * 62_500
    assert 0 <= message.nanos < 10**9


@settings(max_examples=60, deadline=None)
@given(count=samples, off=st.integers(-31_249, 31_249))
def test_a_duration_is_the_nearest_sample(count: int, off: int) -> None:
    nanos = max(0, count * 62_500 + off)
    message = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
    assert times.samples(message, "t") == count


@settings(max_examples=60, deadline=None)
@given(st.floats(0, YEARS))
def test_seconds_survive_to_the_nanosecond(seconds: float) -> None:
    assert times.seconds(times.duration(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-15)


@settings(max_examples=60, deadline=None)
@given(start=samples, length=st.integers(1, 10**9))
def test_spans_survive_exactly(start: int, length: int) -> None:
    span = Span(start, start + length)
    assert times.span(times.span_message(span), "t") == span


@settings(max_examples=30, deadline=None)
@given(st.builds(Timing, stages, stages, stages, stages, stages))
def test_stage_times_survive(timing: Timing) -> None:
    found = times.timing(times.timing_message(timing))
    for name in ("decode", "queue", "compute", "encode", "total"):
        assert getattr(found, name) == pytest.approx(getattr(timing, name), abs=1e-9)


def test_writing_the_reply_is_part_of_the_total() -> None:
    timing = Timing(decode=1, queue=2, compute=3, total=7).written(0.5)
    assert timing == Timing(decode=1, queue=2, compute=3, encode=0.5, total=7.5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 4e9))
def test_points_in_time_survive(epoch: float) -> None:
    assert times.epoch_seconds(times.timestamp(epoch)) == pytest.approx(epoch, abs=1e-6)


@pytest.mark.parametrize(
    "message",
    [
        Duration(seconds=-1),
        Duration(nanos=-1),
        Duration(seconds=-1, nanos=999_999_999),
        Duration(seconds=10**10),
    ],
)
def test_a_duration_that_is_no_length_of_audio_is_refused(message: Duration) -> None:
    with pytest.raises(InvalidArgument, match="must be 0 to 315360000 s") as caught:
        times.samples(message, "windowing.length")
    assert caught.value.field == "windowing.length"


@pytest.mark.parametrize(("start", "end"), [(0, 0), (16_000, 8_000)])
def test_a_span_ends_after_it_starts(start: int, end: int) -> None:
    with pytest.raises(InvalidArgument, match="must end after it starts") as caught:
        times.span(times.span_message(Span(start, end)), "spans[2]")
    assert caught.value.field == "spans[2]"


def test_the_end_at_fault_is_named() -> None:
    message = times.span_message(Span(0, 1))
    message.end.seconds = -5
    with pytest.raises(InvalidArgument) as caught:
        times.span(message, "spans[2]")
    assert caught.value.field == "spans[2].end"
