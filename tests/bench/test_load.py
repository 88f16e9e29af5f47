"""Against servers that are as slow, or as full, as a test needs them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_status import rpc_status

from embedsvc.bench.arrivals import Arrival
from embedsvc.bench.load import Utterance, closed_loop, open_loop, queue_stats
from embedsvc.errors import QueueFull
from embedsvc.testing import serving
from embedsvc.v1 import embedding_pb2
from embedsvc.wire.errors import status_of

SPEECH = Utterance.of(np.zeros(16_000, np.float32))
TOOK = 0.1


class OneAtATime:
    """Takes a while for each call, and has one at work."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._lock = asyncio.Lock()

    async def embed(self, request: Any, context: Any) -> embedding_pb2.EmbedResponse:
        self.seen.append(request.audio.pcm.samples)
        async with self._lock:
            await asyncio.sleep(TOOK)
        return embedding_pb2.EmbedResponse()


class Full:
    """Refuses everybody, and says for how long."""

    async def embed(self, request: Any, context: Any) -> embedding_pb2.EmbedResponse:
        refusal = status_of(QueueFull("too much", retry_after_seconds=0.25))
        await context.abort_with_status(rpc_status.to_status(refusal))
        raise AssertionError


@asynccontextmanager
async def at_work(servicer: Any) -> AsyncIterator[str]:
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        servicer.embed,
        embedding_pb2.EmbedRequest.FromString,
        embedding_pb2.EmbedResponse.SerializeToString,
    )
    name = "embedsvc.v1.EmbeddingService"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"Embed": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_callers_do_not_wait_for_each_other_and_their_waiting_counts() -> None:
    arrivals = [Arrival(0.02 * number, 0) for number in range(6)]
    async with at_work(OneAtATime()) as target:
        calls = await open_loop(target, [SPEECH], arrivals, 10.0)
    assert [call.due for call in calls] == [arrival.at for arrival in arrivals]
    assert all(call.code == "OK" and call.due <= call.sent for call in calls)
    assert calls[-1].sent < calls[-2].done
    # It came after 0.1 s and had five before it, each of which took as long.
    assert calls[-1].latency >= 6 * TOOK - calls[-1].due - 0.01


async def test_no_speech_is_sent_twice() -> None:
    servicer = OneAtATime()
    async with at_work(servicer) as target:
        await open_loop(target, [SPEECH], [Arrival(0.0, 0)] * 5, 10.0)
    assert len(set(servicer.seen)) == 5
    assert {len(data) for data in servicer.seen} == {len(SPEECH.pcm)}


async def test_what_is_not_answered_in_time_is_counted_as_that() -> None:
    async with at_work(OneAtATime()) as target:
        calls = await open_loop(target, [SPEECH], [Arrival(0.0, 0)] * 4, 2.5 * TOOK)
    codes = [call.code for call in calls]
    assert set(codes) <= {"OK", "DEADLINE_EXCEEDED"}
    assert codes.count("DEADLINE_EXCEEDED") >= 2


async def test_a_refusal_is_told_with_its_delay() -> None:
    async with at_work(Full()) as target:
        (call,) = await open_loop(target, [SPEECH], [Arrival(0.0, 0)], 10.0)
    assert (call.code, call.retry_after) == ("RESOURCE_EXHAUSTED", 0.25)


async def test_those_who_wait_for_answers_never_have_more_than_one_call_each() -> None:
    async with at_work(OneAtATime()) as target:
        calls = await closed_loop(target, [SPEECH], 2, 4.5 * TOOK)
    assert 2 <= len(calls) <= 6
    for call in calls:
        others = [each for each in calls if each.sent < call.sent < each.done]
        assert len(others) <= 1


async def test_those_who_are_refused_wait_as_they_are_told() -> None:
    async with at_work(Full()) as target:
        calls = await closed_loop(target, [SPEECH], 1, 0.6)
    assert 1 <= len(calls) <= 3


def test_a_server_answers_and_tells_of_its_queue_what_it_can() -> None:
    with serving() as target:
        started = time.perf_counter()
        (call,) = asyncio.run(open_loop(target, [SPEECH], [Arrival(0.1, 0)], 10.0))
        assert call.code == "OK"
        assert call.due + call.latency == pytest.approx(call.done)
        assert call.done < time.perf_counter() - started
        assert all(isinstance(value, int | float) for value in queue_stats(target).values())
