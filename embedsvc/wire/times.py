"""Seconds, samples and spans as protobuf durations and timestamps."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from embedsvc.errors import InvalidArgument
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Span, Timing
from embedsvc.v1 import types_pb2

_NANOS = 1_000_000_000
_MAX_SECONDS = 10 * 365 * 24 * 3600


def duration(seconds: float) -> Duration:
    """`seconds` as a message."""
    nanos = round(seconds * _NANOS)
    return Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def sample_duration(samples: int) -> Duration:
    """A number of 16 kHz samples as a message; exact, a sample is 62,500 ns."""
    return Duration(
        seconds=samples // SAMPLE_RATE, nanos=samples % SAMPLE_RATE * (_NANOS // SAMPLE_RATE)
    )


def samples(message: Duration, field: str) -> int:
    """The nearest 16 kHz sample to a duration of up to ten years."""
    whole = message.seconds + message.nanos / _NANOS
    if not 0 <= whole <= _MAX_SECONDS:
        raise InvalidArgument(
            f"`{field}` must be 0 to {_MAX_SECONDS} s, but is {whole:g} s", field=field
        )
    return message.seconds * SAMPLE_RATE + round(message.nanos * SAMPLE_RATE / _NANOS)


def seconds(message: Duration) -> float:
    """A duration in seconds."""
    return float(message.seconds + message.nanos / _NANOS)


def timestamp(epoch_seconds: float) -> Timestamp:
    """Seconds since 1970 as a message."""
    nanos = round(epoch_seconds * _NANOS)
    return Timestamp(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def epoch_seconds(message: Timestamp) -> float:
    """A timestamp as seconds since 1970."""
    return float(message.seconds + message.nanos / _NANOS)


def span_message(span: Span) -> types_pb2.TimeSpan:
    """A span as a message."""
    return types_pb2.TimeSpan(start=sample_duration(span.start), end=sample_duration(span.end))


def span(message: types_pb2.TimeSpan, field: str) -> Span:
    """A span, whose end is after its start."""
    found = Span(samples(message.start, f"{field}.start"), samples(message.end, f"{field}.end"))
    if found.end <= found.start:
        start, end = found.seconds
        raise InvalidArgument(
            f"`{field}` must end after it starts, but is {start:g}-{end:g} s", field=field
        )
    return found


def timing_message(timing: Timing) -> types_pb2.Timing:
    """Stage times as a message."""
    return types_pb2.Timing(
        decode=duration(timing.decode),
        queue=duration(timing.queue),
        compute=duration(timing.compute),
        encode=duration(timing.encode),
        total=duration(timing.total),
        moments=duration(timing.moments),
    )


def timing(message: types_pb2.Timing) -> Timing:
    """Stage times from a message."""
    return Timing(
        decode=seconds(message.decode),
        queue=seconds(message.queue),
        compute=seconds(message.compute),
        encode=seconds(message.encode),
        total=seconds(message.total),
        moments=seconds(message.moments),
    )
