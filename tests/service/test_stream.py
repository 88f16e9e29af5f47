"""Live audio: windows tile the stream, and come before its end."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.timing import frame_count
from embedsvc.types import Floats
from embedsvc.v1 import embedding_pb2, types_pb2
from tests.service.calls import (
    BOUND,
    Stubs,
    arrays,
    options,
    pcm,
    pcm_format,
    refused,
    request,
    s16,
    speech,
    vector,
)

Message = embedding_pb2.StreamEmbedRequest
FLUSH = Message(flush=Message.Flush())


def windows_of(length: int = 2, context: float = 0.5) -> types_pb2.Windowing:
    windowing = types_pb2.Windowing()
    windowing.length.seconds = length
    windowing.context.FromMilliseconds(round(context * 1000))
    return windowing


def config(*outputs: embedding_pb2.OutputSpec, form: types_pb2.PcmFormat | None = None) -> Message:
    asked = options(*outputs, windowing=windows_of())
    return Message(config=Message.Config(pcm=form or pcm_format(), options=asked))


def chunks(data: bytes, size: int) -> Iterator[Message]:
    for place in range(0, len(data), size):
        yield Message(audio=data[place : place + size])


def spans(answers: list[embedding_pb2.StreamEmbedResponse]) -> list[tuple[float, float]]:
    return [
        (answer.span.start.ToNanoseconds() / 1e9, answer.span.end.ToNanoseconds() / 1e9)
        for answer in answers
    ]


def streamed(
    stubs: Stubs, samples: Floats, size: int, *outputs: embedding_pb2.OutputSpec
) -> list[embedding_pb2.StreamEmbedResponse]:
    def messages() -> Iterator[Message]:
        yield config(*outputs)
        yield from chunks(s16(samples), size)

    return list(stubs.embedding.StreamEmbed(messages(), timeout=60))


@pytest.fixture(scope="module")
def talk() -> Floats:
    """Speech of several windows of two seconds."""
    return np.concatenate([speech(2.9, seed) for seed in range(3)])


@pytest.fixture(scope="module")
def usual_windows(stubs: Stubs, talk: Floats) -> list[embedding_pb2.StreamEmbedResponse]:
    """The windows of the talk, sent in one piece."""
    return streamed(stubs, talk, 10**7)


def test_windows_tile_the_stream(
    usual_windows: list[embedding_pb2.StreamEmbedResponse], talk: Floats
) -> None:
    found = spans(usual_windows)
    assert len(found) >= 3
    assert found[0][0] == 0
    assert found[-1][1] == pytest.approx(len(talk) / 16_000)
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert sum(a.embedding.usage.frames for a in usual_windows) == frame_count(len(talk))


@settings(max_examples=5, deadline=None)
@given(size=st.sampled_from([333, 1_280, 3_201, 64_000, 100_001]))
def test_any_chunks_give_the_same_windows(
    stubs: Stubs, talk: Floats, usual_windows: list[Any], size: int
) -> None:
    answers = streamed(stubs, talk, size)
    assert spans(answers) == spans(usual_windows)
    for ours, theirs in zip(answers, usual_windows, strict=True):
        np.testing.assert_allclose(vector(ours.embedding), vector(theirs.embedding), atol=BOUND)


def test_the_frames_of_a_stream_are_those_of_the_whole_recording(
    stubs: Stubs, talk: Floats
) -> None:
    spec = embedding_pb2.OutputSpec(pooling=types_pb2.POOLING_NONE, dtype=types_pb2.DTYPE_FLOAT32)
    whole = stubs.embedding.Embed(request(pcm(talk), spec, windowing=windows_of())).embedding
    parts = [arrays(answer.embedding)[0] for answer in streamed(stubs, talk, 3_200, spec)]
    np.testing.assert_allclose(np.concatenate(parts), vector(whole), atol=BOUND)


class Microphone:
    """Sends what it is given when it is given; the answers come into a queue."""

    def __init__(self, stubs: Stubs) -> None:
        self._sent: queue.Queue[Message | None] = queue.Queue()
        self.answers: queue.Queue[Any] = queue.Queue()
        self.call: Any = stubs.embedding.StreamEmbed(iter(self._sent.get, None), timeout=60)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def send(self, message: Message) -> None:
        self._sent.put(message)

    def next(self) -> Any:
        return self.answers.get(timeout=30)

    def hang_up(self) -> list[Any]:
        """End the stream; the answers that had not been taken."""
        self._sent.put(None)
        self._thread.join()
        return list(self.answers.queue)

    def _listen(self) -> None:
        with suppress(grpc.RpcError):
            for answer in self.call:
                self.answers.put(answer)


def test_a_window_is_answered_before_the_stream_ends(stubs: Stubs, talk: Floats) -> None:
    microphone = Microphone(stubs)
    microphone.send(config())
    data = s16(talk)
    for message in chunks(data[: 2 * 16_000 * 3], 3_200):
        microphone.send(message)
    first = microphone.next()
    assert first.span.start.ToNanoseconds() == 0
    microphone.send(Message(audio=data[2 * 16_000 * 3 :]))
    assert spans(microphone.hang_up())[-1][1] == pytest.approx(len(talk) / 16_000)


def test_a_flush_answers_for_what_has_come_and_the_stream_goes_on(
    stubs: Stubs, talk: Floats
) -> None:
    microphone = Microphone(stubs)
    microphone.send(config())
    microphone.send(FLUSH)  # nothing has come, so nothing is answered
    microphone.send(Message(audio=s16(talk[:12_345])))
    microphone.send(FLUSH)
    first = microphone.next()
    assert spans([first]) == [(0, 12_345 / 16_000)]
    alone = stubs.embedding.Embed(request(pcm(talk[:12_345]), windowing=windows_of())).embedding
    np.testing.assert_allclose(vector(first.embedding), vector(alone), atol=BOUND)
    microphone.send(Message(audio=s16(talk[12_345:30_000])))
    rest = microphone.hang_up()
    assert spans(rest) == [(12_345 / 16_000, 30_000 / 16_000)]
    outputs = rest[0].embedding.outputs
    assert outputs[0].span == rest[0].span


BROKEN: dict[str, tuple[list[Message], str, str]] = {
    "nothing": ([], "STREAM_PROTOCOL", "config"),
    "audio before the config": ([Message(audio=b"\0\0")], "STREAM_PROTOCOL", "config"),
    "a flush before the config": ([FLUSH], "STREAM_PROTOCOL", "config"),
    "an empty message": ([Message()], "STREAM_PROTOCOL", "config"),
    "two configs": ([config(), Message(audio=bytes(3_200)), config()], "STREAM_PROTOCOL", ""),
    "an empty message later": ([config(), Message()], "STREAM_PROTOCOL", ""),
    "no format": ([Message(config=Message.Config())], "FIELD_INVALID", "config.pcm"),
    "a rate of 16 Hz": ([config(form=pcm_format(16))], "SAMPLE_RATE_OUT_OF_RANGE", "audio"),
    "no audio": ([config()], "AUDIO_EMPTY", "audio"),
    "less than a frame": ([config(), Message(audio=bytes(1_000))], "AUDIO_TOO_SHORT", "audio"),
    "half a sample": ([config(), Message(audio=bytes(32_001))], "PCM_SIZE", "audio"),
}


@pytest.mark.usefixtures("still_answers")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_stream_ends_with_its_reason(stubs: Stubs, case: str) -> None:
    messages, reason, path = BROKEN[case]
    refusal = refused(stubs.embedding.StreamEmbed, iter(messages))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)
    assert refusal.path == path


@pytest.mark.usefixtures("still_answers")
def test_windows_before_a_fault_are_answered(stubs: Stubs, talk: Floats) -> None:
    bad = np.full(3_200, np.nan, "<f4").tobytes()
    form = pcm_format(layout=types_pb2.SAMPLE_FORMAT_F32LE)
    good = np.asarray(talk, "<f4").tobytes()
    messages = [config(form=form), Message(audio=good), Message(audio=bad)]
    call = stubs.embedding.StreamEmbed(iter(messages), timeout=60)
    first, second = next(call), next(call)
    assert first.span.end == second.span.start
    assert refused(lambda **_: call).reason == "SAMPLES_NOT_FINITE"


@pytest.mark.usefixtures("still_answers")
def test_a_caller_that_leaves_ends_the_stream(stubs: Stubs, talk: Floats) -> None:
    microphone = Microphone(stubs)
    microphone.send(config())
    microphone.send(Message(audio=s16(talk)))
    microphone.next()
    microphone.call.cancel()
    microphone.hang_up()
    assert microphone.call.code() is grpc.StatusCode.CANCELLED
