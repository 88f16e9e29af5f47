"""Load on a server over gRPC: callers who wait for their answers, and callers who just come.

No call is made twice: what the server refuses is what is counted. No speech is sent twice.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from grpc_status import rpc_status

from embedsvc.bench.arrivals import Arrival
from embedsvc.timing import SAMPLE_RATE, to_seconds
from embedsvc.types import Floats, PcmFormat, SampleFormat, Source
from embedsvc.v1 import embedding_pb2, embedding_pb2_grpc, server_pb2, server_pb2_grpc
from embedsvc.wire.audio import source_message
from embedsvc.wire.errors import error_of

OK = "OK"
_PCM = PcmFormat(SampleFormat.S16, SAMPLE_RATE)
_FULL_SCALE = 32_767
_MARK = 4
_NUMBER = (int, float)
_PAUSE = 0.1
"""Seconds that a caller waits who was refused and not told how long."""

_OPTIONS = (("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True)
class Utterance:
    """Speech as 16-bit PCM, and the seconds of it."""

    pcm: bytes
    seconds: float

    @classmethod
    def of(cls, samples: Floats) -> "Utterance":
        """Samples (N,) of at least one frame."""
        data = np.round(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()
        return cls(data, to_seconds(len(samples)))

    def request(self, number: int) -> embedding_pb2.EmbedRequest:
        """The speech, asking for the model's own vector; no other number gives the same bytes.

        What nobody sent before cannot be answered from a cache. The number is written into four
        samples, too softly to be heard.
        """
        mark = np.frombuffer(number.to_bytes(_MARK, "little"), np.uint8).astype("<i2").tobytes()
        message = source_message(Source(mark + self.pcm[len(mark) :], _PCM))
        return embedding_pb2.EmbedRequest(audio=message)


@dataclass(frozen=True)
class Call:
    """What became of a call; all times are in seconds since the start of the load.

    `due` is when its caller came, and `sent` when we got round to it. `retry_after` is what a
    refusal told to wait, None if it told nothing.
    """

    due: float
    sent: float
    done: float
    audio: float
    code: str
    retry_after: float | None = None

    @property
    def latency(self) -> float:
        """Seconds its caller waited, also for us to send it."""
        return self.done - self.due

    @property
    def answer_time(self) -> float:
        """Seconds from sending to the answer."""
        return self.done - self.sent


def queue_stats(target: str) -> dict[str, float]:
    """What the server tells of its queue since its start, as numbers; nothing if it tells none."""
    with grpc.insecure_channel(target) as channel:
        reply: Any = server_pb2_grpc.ServerServiceStub(channel).GetServerInfo(
            server_pb2.GetServerInfoRequest()
        )
    # A server of another version may not have it.
    if "queue" not in reply.DESCRIPTOR.fields_by_name:
        return {}
    return {
        field.name: value for field, value in reply.queue.ListFields() if isinstance(value, _NUMBER)
    }


async def open_loop(
    target: str, utterances: Sequence[Utterance], arrivals: Sequence[Arrival], deadline: float
) -> list[Call]:
    """Send each utterance when its caller comes, whatever became of those before.

    A server that falls behind is not given time to catch up.
    """
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        caller = _Caller(channel, deadline)
        tasks = []
        for arrival in arrivals:
            await asyncio.sleep(max(0.0, arrival.at - caller.now()))
            call = caller.call(utterances[arrival.utterance], arrival.at)
            tasks.append(asyncio.create_task(call))
        return list(await asyncio.gather(*tasks))


async def closed_loop(
    target: str, utterances: Sequence[Utterance], callers: int, seconds: float
) -> list[Call]:
    """`callers` who each send the next utterance when they have their answer, for `seconds`."""
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        caller = _Caller(channel, None)
        turns = itertools.cycle(utterances)

        async def go_on() -> list[Call]:
            calls = []
            while (now := caller.now()) < seconds:
                calls.append(await caller.call(next(turns), now))
                if calls[-1].code != OK:
                    await asyncio.sleep(calls[-1].retry_after or _PAUSE)
            return calls

        groups = await asyncio.gather(*(go_on() for _ in range(callers)))
        return [call for group in groups for call in group]


class _Caller:
    """Makes calls, and notes their times from when it was made."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float | None) -> None:
        self._stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._deadline = deadline
        self._numbers = itertools.count(time.time_ns() & 0xFFFF_FFFF)
        self._start = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self._start

    async def call(self, utterance: Utterance, due: float) -> Call:
        request = utterance.request(next(self._numbers) & 0xFFFF_FFFF)
        sent = self.now()
        code, retry_after = OK, None
        try:
            await self._stub.Embed(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            code, retry_after = error.code().name, _retry_after(error)
        return Call(due, sent, self.now(), utterance.seconds, code, retry_after)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """Seconds that a status says to wait, None when it carries no RetryInfo."""
    call: Any = error
    status = rpc_status.from_call(call)
    return None if status is None else error_of(status).retry_after_seconds
