"""Calls of StreamTranscribe, and what came of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from embedsvc.types import Floats
from embedsvc.v1 import transcription_pb2
from tests.service.calls import RATE, Stubs, pcm_format, s16, upload
from tests.service.test_transcribe import ENGLISH, PAUSE, samples

Stream = transcription_pb2.StreamTranscribeRequest
LOOKAHEAD = transcription_pb2.STREAM_MODE_LOOKAHEAD
BEGAN = transcription_pb2.SPEECH_EVENT_KIND_BEGAN
ENDED = transcription_pb2.SPEECH_EVENT_KIND_ENDED


def talking() -> Floats:
    """Three sentences, and what silence there is around them."""
    return np.concatenate([PAUSE, *(each for c in ENGLISH[:3] for each in (samples(c), PAUSE))])


def config(**fields: Any) -> transcription_pb2.StreamTranscribeRequest.Config:
    """A config for 16-bit PCM at 16 kHz."""
    return Stream.Config(pcm=pcm_format(), **fields)


def told(stubs: Stubs, heard: Floats, chunk: int = 3_200, **fields: Any) -> list[Any]:
    """All answers to a stream."""
    messages = upload(Stream, config(**fields), s16(heard), chunk)
    return list(stubs.transcription.StreamTranscribe(messages, timeout=120))


def with_flush(heard: Floats, at: int, **fields: Any) -> Iterator[Any]:
    """The messages of a stream that is flushed at a sample."""
    yield Stream(config=config(**fields))
    yield Stream(audio=s16(heard[:at]))
    yield Stream(flush=Stream.Flush())
    yield Stream(audio=s16(heard[at:]))


def finals(replies: Sequence[Any]) -> list[Any]:
    """What is final."""
    return [each.final for each in replies if each.HasField("final")]


def events(replies: Sequence[Any]) -> list[tuple[int, int]]:
    """Kinds of events and their samples."""
    found = [each.event for each in replies if each.HasField("event")]
    return [(each.kind, place(each.time)) for each in found]


def place(moment: Any) -> int:
    """A moment as a sample."""
    return int(moment.ToNanoseconds() * RATE // 10**9)


def text(part: Any) -> str:
    """What is written of a stretch."""
    return " ".join(segment.text for segment in part.segments)


def words(part: Any) -> list[Any]:
    """The words of a final."""
    return [word for segment in part.segments for word in segment.words]
