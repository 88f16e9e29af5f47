"""Live transcription as messages: how a stream is to be heard, and what is told of it."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, SAMPLE_RATE, to_seconds
from embedsvc.types import Span, SpeechEventKind, StreamMode, Word
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import enums, times
from embedsvc.wire.transcripts import word_message

Config = transcription_pb2.StreamTranscribeRequest.Config
Response = transcription_pb2.StreamTranscribeResponse

INTERVAL = {
    StreamMode.RECOMPUTE: SAMPLE_RATE,
    StreamMode.LOOKAHEAD: SAMPLE_RATE * 2 // 5,
}
LOOKAHEAD = SAMPLE_RATE * 2 // 5
END_SILENCE = SAMPLE_RATE // 2
_INTERVALS = (SAMPLE_RATE // 5, 5 * SAMPLE_RATE)
_LOOKAHEADS = (SAMPLE_RATE // 10, 2 * SAMPLE_RATE)
LONGEST_TOKEN = 4096


def mode(config: Config, field: str = "config.mode") -> StreamMode:
    """How the stream is heard."""
    return (
        enums.ours(enums.STREAM_MODE, config.mode, field) if config.mode else (StreamMode.RECOMPUTE)
    )


def interval(config: Config, field: str = "config.interval") -> int:
    """Samples of live audio that are waited for."""
    if not config.HasField("interval"):
        return INTERVAL[mode(config)]
    return _within(config.interval, _INTERVALS, field)


def lookahead(config: Config, field: str = "config.lookahead") -> int:
    """Samples that are heard behind a label before it is told; 0 where the mode has none."""
    ahead = mode(config) is StreamMode.LOOKAHEAD
    if not config.HasField("lookahead"):
        return LOOKAHEAD if ahead else 0
    if not ahead:
        _only_ahead(field)
    return _within(config.lookahead, _LOOKAHEADS, field)


def final_pass(config: Config, field: str = "config.final_pass") -> bool:
    """Whether stretches are heard once more."""
    if config.final_pass and mode(config) is not StreamMode.LOOKAHEAD:
        _only_ahead(field)
    return config.final_pass


def end_silence(config: Config, field: str = "config.end_silence") -> int:
    """Samples of quiet that end a stretch."""
    if not config.HasField("end_silence"):
        return END_SILENCE
    return _within(config.end_silence, _INTERVALS, field)


def resume_token(config: Config, field: str = "config.resume_token") -> bytes:
    """The token of an earlier call, of a size that can be one; empty for a new stream."""
    if len(config.resume_token) > LONGEST_TOKEN:
        raise InvalidArgument(
            f"`{field}` must be at most {LONGEST_TOKEN} bytes, but is {len(config.resume_token)}",
            field=field,
        )
    return config.resume_token


def interim(
    stable: Sequence[Word], unstable: Sequence[Word], heard: Span, *, words: bool
) -> Response:
    """Words of a stretch that goes on."""
    return Response(
        interim=Response.Interim(
            stable_text=" ".join(word.text for word in stable),
            unstable_text=" ".join(word.text for word in unstable),
            heard=times.span_message(heard),
            stable_words=map(word_message, stable) if words else (),
        )
    )


def event(kind: SpeechEventKind, at: int) -> Response:
    """Speech began or ended."""
    number = enums.SPEECH_EVENT[kind]
    return Response(event=Response.SpeechEvent(kind=number, time=times.sample_duration(at)))


def _within(message: Duration, limits: tuple[int, int], field: str) -> int:
    samples = times.samples(message, field) // FRAME * FRAME
    least, most = limits
    if not least <= samples <= most:
        raise InvalidArgument(
            f"`{field}` must be {to_seconds(least):g} s to {to_seconds(most):g} s, "
            f"but is {times.seconds(message):g} s",
            field=field,
        )
    return samples


def _only_ahead(field: str) -> None:
    raise InvalidArgument(
        f"`{field}` must come with `mode` STREAM_MODE_LOOKAHEAD, but it is another", field=field
    )
