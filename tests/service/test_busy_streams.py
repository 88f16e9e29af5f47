"""Many live streams at once, senders that are too fast and readers that are too slow."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from embedsvc.types import Floats
from tests.service.calls import RATE, Stubs, s16
from tests.service.live import LOOKAHEAD, Stream, config, finals, place, talking
from tests.service.processes import Server
from tests.service.test_memory import MEBIBYTE

AHEAD = {"mode": LOOKAHEAD, "interval": {"seconds": 1}}
MODES = [pytest.param({}, id="recompute"), pytest.param(AHEAD, id="ahead", marks=pytest.mark.slow)]
HOUR = 3600


@pytest.fixture(scope="module")
def talk() -> Floats:
    return talking()


def hours_at_once(talk: Floats, sent: list[int], **fields: Any) -> Iterator[Any]:
    """An hour of speech as fast as the server takes it, in messages of ten seconds."""
    yield Stream(config=config(omit_interim=True, **fields))
    data = s16(np.resize(talk, 10 * RATE))
    for number in range(HOUR // 10):
        sent.append(number)
        yield Stream(audio=data)


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_in_real_time_is_not_held_up_by_one_sent_at_once(
    process: Server, talk: Floats, mode: dict[str, Any]
) -> None:
    sent: list[int] = []
    lags = []
    with Stubs(process.address()) as stubs:
        list(stubs.transcription.StreamTranscribe(paced(talk[: 2 * RATE]), timeout=60))
        before = process.resident_bytes()
        greedy = stubs.transcription.StreamTranscribe(hours_at_once(talk, sent, **mode))
        reader = threading.Thread(target=lambda: read_until_cancelled(greedy))
        reader.start()
        started = time.monotonic()
        for each in stubs.transcription.StreamTranscribe(paced(talk[: 6 * RATE]), timeout=120):
            if each.HasField("interim"):
                lags.append(time.monotonic() - started - place(each.interim.heard.end) / RATE)
        after = process.resident_bytes()
        greedy.cancel()
        reader.join()
    assert len(lags) >= 3
    # Four passes of a segment of 20 s at most are before one of ours, on a busy machine.
    assert max(lags) < 5
    assert len(sent) < HOUR // 10, "the sender waits for the server"
    assert after - before < 100 * MEBIBYTE


def paced(heard: Floats) -> Iterator[Any]:
    """A stream in real time."""
    yield Stream(config=config(interval={"nanos": 500_000_000}))
    started = time.monotonic()
    for at in range(0, len(heard), RATE // 10):
        time.sleep(max(0.0, started + at / RATE - time.monotonic()))
        yield Stream(audio=s16(heard[at : at + RATE // 10]))


def read_until_cancelled(call: Any) -> None:
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        return


def test_a_caller_who_does_not_read_is_not_heard_further(process: Server, talk: Floats) -> None:
    sent: list[int] = []

    def chatty() -> Iterator[Any]:
        # Every interim tells all words of its segment with ten alternatives of each token.
        options = {"alternatives": 10}
        asked = config(mode=LOOKAHEAD, interval={"nanos": 200_000_000}, options=options)
        yield Stream(config=asked)
        data = s16(talk[RATE : 4 * RATE])
        for number in range(1_000):
            sent.append(number)
            yield Stream(audio=data)

    with Stubs(process.address()) as stubs:
        before = process.resident_bytes()
        call = stubs.transcription.StreamTranscribe(chatty())
        next(iter(call))
        # Nobody reads on: when what is on its way is full, the server stops, then the sender.
        # A busy machine may make a server that goes on pause for a while, too.
        waiting = (len(sent) > 0 and not any(grows(sent) for _ in range(2)) for _ in range(20))
        assert any(waiting)
        assert len(sent) < 1_000
        assert process.resident_bytes() - before < 100 * MEBIBYTE
        call.cancel()
        quick = stubs.transcription.StreamTranscribe(paced(talk[: 2 * RATE]), timeout=60)
        assert finals(list(quick))


def grows(sent: list[int]) -> bool:
    """Whether more is sent within three seconds."""
    count = len(sent)
    time.sleep(3)
    return len(sent) > count
