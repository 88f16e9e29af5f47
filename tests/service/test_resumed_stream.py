"""A live stream that goes on in another call, and one that does not go on."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from embedsvc.testing import serving
from embedsvc.types import Floats
from tests.service.calls import RATE, Refusal, Stubs, refused, s16
from tests.service.live import LOOKAHEAD, Stream, config, place, talking, told, with_flush

MODES: list[dict[str, Any]] = [
    {},
    {"mode": LOOKAHEAD, "interval": {"seconds": 1}},
    {
        "mode": LOOKAHEAD,
        "interval": {"nanos": 800_000_000},
        "final_pass": True,
        "lookahead": {"nanos": 300_000_000},
    },
]


@pytest.fixture(scope="module")
def talk() -> Floats:
    """Speech without any pause for a while, then silence, then speech with one."""
    talk = talking()
    quick = np.tile(talk[RATE : 4 * RATE], 8)
    return np.concatenate([quick, np.zeros(7 * RATE, np.float32), talk[: 4 * RATE]])


def resumable(reply: Any) -> Any:
    """The part of an answer with which the stream can go on, if it is one."""
    kind = reply.WhichOneof("message")
    return getattr(reply, kind) if kind in {"final", "progress"} else None


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_stream_says_what_an_unbroken_one_does(
    stubs: Stubs, talk: Floats, mode: dict[str, Any]
) -> None:
    *whole, _ = told(stubs, talk, 64_000, events=True, **mode)
    breaks = [number for number, each in enumerate(whole) if resumable(each)]
    assert {whole[number].WhichOneof("message") for number in breaks} == {"final", "progress"}
    for number in breaks:
        part = resumable(whole[number])
        left = talk[place(part.resume_from) :]
        *again, _ = told(stubs, left, 64_000, events=True, resume_token=part.resume_token, **mode)
        rest = whole[number + 1 :]
        assert beyond(again, rest) == rest


def beyond(again: list[Any], rest: list[Any]) -> list[Any]:
    """What is told again but for interims of what had been heard of a stretch that was cut."""
    first = min((end_of(each) for each in rest if each.HasField("interim")), default=10**9)
    return [each for each in again if not each.HasField("interim") or end_of(each) >= first]


def end_of(reply: Any) -> int:
    """Up to where an interim heard."""
    return place(reply.interim.heard.end)


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_goes_on_behind_a_flush(stubs: Stubs, talk: Floats, mode: dict[str, Any]) -> None:
    at = 2 * RATE + 123
    messages = with_flush(talk[: 6 * RATE], at, events=True, **mode)
    *whole, _ = stubs.transcription.StreamTranscribe(messages, timeout=60)
    number = next(n for n, each in enumerate(whole) if each.WhichOneof("message") == "final")
    part = whole[number].final
    assert place(part.heard.end) >= at - RATE // 10
    rest = talk[place(part.resume_from) : 6 * RATE]
    fields = {"events": True, "resume_token": part.resume_token, **mode}
    *again, _ = told(stubs, rest, **fields)
    assert again == whole[number + 1 :]


def test_a_token_that_is_altered_or_of_another_config_is_refused(
    stubs: Stubs, talk: Floats
) -> None:
    for mode in ({}, {"mode": LOOKAHEAD}):
        replies = told(stubs, talk[: 5 * RATE], **mode)
        token = next(each.final.resume_token for each in replies if each.HasField("final"))
        assert len(token) <= 1400
        for place_in_it in range(0, len(token), 40):
            changed = bytearray(token)
            changed[place_in_it] ^= 1
            assert_refused(stubs, bytes(changed), **mode)
        for wrong in (token[:-1], token + b"\0", b"\0", b"a" * 5_000):
            assert_refused(stubs, wrong, **mode)
        assert_refused(stubs, token, interval={"seconds": 2}, **mode)
        assert_refused(stubs, token, mode=1 if mode else LOOKAHEAD)


def assert_refused(stubs: Stubs, token: bytes, **fields: Any) -> None:
    messages = iter([Stream(config=config(resume_token=token, **fields))])
    refusal = refused(stubs.transcription.StreamTranscribe, messages)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "config.resume_token")


def test_an_idle_stream_is_ended_and_says_how_to_go_on(talk: Floats) -> None:
    def idle() -> Iterator[Any]:
        yield Stream(config=config())
        for at in range(0, 3 * RATE, RATE):
            time.sleep(0.3)
            yield Stream(audio=s16(talk[at : at + RATE]))
        time.sleep(20)

    flags = {"server": {"stream_idle_seconds": 1.0}}
    with serving(flags) as target, Stubs(target) as stubs:
        started = time.monotonic()
        refusal: Refusal = refused(stubs.transcription.StreamTranscribe, idle())
        assert time.monotonic() - started < 15
    assert (refusal.code, refusal.reason) == ("ABORTED", "STREAM_IDLE")
    assert "resume_token" in refusal.message
    assert refusal.facts == {"idle_seconds": "1.0"}
