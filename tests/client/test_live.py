"""Live speech from Python: both modes, everything that is told, and servers that go away."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client
from embedsvc.client import FinalText, InterimText, SpeechEvent, StreamEnd, StreamProgress
from embedsvc.client.resuming import KEPT_SECONDS, Kept
from embedsvc.errors import InvalidArgument, ResumeTokenInvalid, Unavailable
from embedsvc.types import DecodeOptions, Floats, PcmFormat, SampleFormat, SpeechEventKind
from embedsvc.wire.times import duration
from tests.service.processes import Server

PCM = PcmFormat(SampleFormat.F32, 16_000)


def pieces(samples: Floats, pause: float = 0.0) -> Iterator[bytes]:
    """Tenths of a second, each after a pause."""
    for place in range(0, len(samples), 1600):
        time.sleep(pause)
        yield np.asarray(samples[place : place + 1600], "<f4").tobytes()


@pytest.fixture(scope="module")
def talk(speech: Floats) -> Floats:
    """Sentences with a second of silence behind each."""
    return np.tile(np.concatenate([speech, np.zeros(16_000, np.float32)]), 3)


def texts(told: list[InterimText | FinalText]) -> list[tuple[str, int]]:
    return [(each.text, each.heard.end) for each in told if isinstance(each, FinalText)]


def test_all_that_is_told_are_values(client: Client, talk: Floats) -> None:
    told = list(client.transcribe_live(pieces(talk), PCM, mode="lookahead", interval=0.5))
    events = [each for each in told if isinstance(each, SpeechEvent)]
    kinds = [SpeechEventKind.BEGAN, SpeechEventKind.ENDED]
    assert [each.kind for each in events] == kinds * (len(events) // 2)
    assert events[-1].seconds <= len(talk) / 16_000
    end = told[-1]
    assert isinstance(end, StreamEnd)
    assert (end.head, end.seconds) == ("phones", len(talk) / 16_000)
    assert end.frames > 50 * end.seconds
    interims = [each for each in told if isinstance(each, InterimText)]
    assert all(each.stable == " ".join(word.text for word in each.words) for each in interims)
    assert any(each.words for each in interims)


def test_silence_is_told_as_progress(client: Client) -> None:
    told = list(client.transcribe_live(pieces(np.zeros(160_000, np.float32)), PCM))
    progress = [each for each in told if isinstance(each, StreamProgress)]
    assert progress[-1].heard_until > 128_000


def test_a_final_can_be_gone_on_from(client: Client, talk: Floats) -> None:
    for mode in ("recompute", "lookahead"):
        told = list(client.transcribe_stream(pieces(talk), PCM, mode=mode))
        first = next(each for each in told if isinstance(each, FinalText))
        rest = pieces(talk[first.resume_from :])
        token = first.resume_token
        again = list(client.transcribe_stream(rest, PCM, mode=mode, resume_token=token))
        assert texts(again) == texts(told)[1:]
        with pytest.raises(ResumeTokenInvalid, match="the same config"):
            list(client.transcribe_stream([], PCM, mode=mode, interval=2, resume_token=token))


def test_a_beam_in_a_lookahead_needs_a_final_pass(client: Client, talk: Floats) -> None:
    options = DecodeOptions(beam=4)
    with pytest.raises(InvalidArgument, match="final_pass"):
        list(client.transcribe_stream([], PCM, mode="lookahead", options=options))
    told = client.transcribe_stream(
        pieces(talk), PCM, mode="lookahead", options=options, final_pass=True
    )
    assert texts(list(told))


@pytest.mark.parametrize("mode", ["recompute", pytest.param("lookahead", marks=pytest.mark.slow)])
def test_a_stream_survives_a_killed_server(tmp_path: Path, talk: Floats, mode: str) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    with (
        ExitStack() as servers,
        Server(tmp_path / "one", address) as first,
        Client(first.address()) as client,
    ):
        usual = texts(list(client.transcribe_stream(pieces(talk), PCM, mode=mode)))
        told: list[InterimText | FinalText] = []
        stream = client.transcribe_stream(pieces(talk, 0.02), PCM, mode=mode, resume_seconds=60)
        runs = True
        for each in stream:
            told.append(each)
            if runs and texts(told) and isinstance(each, InterimText):
                first.signal(signal.SIGKILL)
                first.end()
                servers.enter_context(Server(tmp_path / "two", address)).address()
                runs = False
        assert not runs
        assert texts(told) == usual


def test_a_server_that_does_not_come_back_is_told(tmp_path: Path, talk: Floats) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    with Server(tmp_path / "one", address) as server, Client(server.address()) as client:
        stream = client.transcribe_stream(pieces(talk), PCM, resume_seconds=0.5)
        next(stream)
        server.signal(signal.SIGKILL)
        with pytest.raises(Unavailable):
            list(stream)


def test_a_sender_waits_when_much_is_kept() -> None:
    second = bytes(64_000)
    kept = Kept((second for _ in range(1_000)), PCM)
    sent: list[bytes | None] = []
    sender = threading.Thread(target=lambda: sent.extend(kept.begin()))
    sender.start()
    sender.join(1)
    assert sender.is_alive()
    kept.stop()
    sender.join()
    again = kept.begin()
    for _ in range(int(KEPT_SECONDS)):
        assert next(again) == second
    kept.forget(b"token", duration(10.5))
    assert next(again) == second
    assert next(kept.begin()) == second[32_000:]
