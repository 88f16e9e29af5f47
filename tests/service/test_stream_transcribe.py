"""Live text: what is told while somebody speaks, and what is final."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from embedsvc.types import Floats
from embedsvc.v1 import transcription_pb2
from tests.service.calls import RATE, Stubs, pcm, pcm_format, refused, s16, speech, upload
from tests.service.test_transcribe import ENGLISH, PAUSE, Options, Request, samples

Stream = transcription_pb2.StreamTranscribeRequest


@pytest.fixture(scope="module")
def talk() -> Floats:
    """Three sentences, and what silence there is around them."""
    return np.concatenate([PAUSE, *(each for c in ENGLISH[:3] for each in (samples(c), PAUSE))])


def config(**fields: Any) -> transcription_pb2.StreamTranscribeRequest.Config:
    return Stream.Config(pcm=pcm_format(), **fields)


def told(stubs: Stubs, heard: Floats, chunk: int = 3_200, **fields: Any) -> list[Any]:
    messages = upload(Stream, config(**fields), s16(heard), chunk)
    return list(stubs.transcription.StreamTranscribe(messages, timeout=60))


def finals(replies: Sequence[Any]) -> list[Any]:
    return [each.final for each in replies if each.HasField("final")]


def place(moment: Any) -> int:
    """A moment as a sample."""
    return int(moment.ToNanoseconds() * RATE // 10**9)


def text(part: Any) -> str:
    return " ".join(segment.text for segment in part.segments)


def test_finals_are_what_a_recording_of_their_samples_says(stubs: Stubs, talk: Floats) -> None:
    found = finals(told(stubs, talk))
    spans = [(place(each.heard.start), place(each.heard.end)) for each in found]
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert sum(map(bool, map(text, found))) >= 3
    for each, (start, end) in zip(found, spans, strict=True):
        offline = stubs.transcription.Transcribe(Request(audio=pcm(talk[start:end])))
        assert text(each) == text(offline)
        for live, alone in zip(each.segments, offline.segments, strict=True):
            assert place(live.span.start) == start + place(alone.span.start)
            assert live.confidence == pytest.approx(alone.confidence, rel=1e-3)


def test_chunks_change_nothing(stubs: Stubs, talk: Floats) -> None:
    usual = told(stubs, talk)
    for chunk in (334, 100_000):
        other = told(stubs, talk, chunk)
        assert [each.final.heard for each in other] == [each.final.heard for each in usual]
        assert [text(each) for each in finals(other)] == [text(each) for each in finals(usual)]
        assert [each.interim for each in other] == [each.interim for each in usual]


def test_stable_text_only_grows_until_the_final(stubs: Stubs, talk: Floats) -> None:
    stable, interims = "", 0
    for each in told(stubs, talk, interval={"nanos": 400_000_000}):
        if each.HasField("final"):
            stable = ""
            continue
        interims += 1
        assert each.interim.stable_text.startswith(stable)
        stable = each.interim.stable_text
    assert interims >= 10


def test_text_is_told_before_the_sentence_is_over(stubs: Stubs, talk: Floats) -> None:
    replies = told(stubs, talk)
    first = next(place for place, each in enumerate(replies) if text(each.final))
    before = [each.interim for each in replies[:first] if each.HasField("interim")]
    assert any(each.stable_text for each in before)
    only = told(stubs, talk, omit_interim=True)
    assert [text(each) for each in finals(only)] == [text(each) for each in finals(replies)]
    assert len(finals(only)) == len(only)


def test_speech_without_a_pause_is_cut_and_bounded(stubs: Stubs) -> None:
    endless = np.tile(samples(ENGLISH[0]), 12)
    found = finals(told(stubs, endless, 64_000, interval={"seconds": 5}, omit_interim=True))
    spans = [(place(each.heard.start), place(each.heard.end)) for each in found]
    assert max(end - start for start, end in spans) <= 20 * RATE
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert spans[-1][1] == len(endless)


def test_silence_says_nothing_however_long(stubs: Stubs) -> None:
    found = told(stubs, np.zeros(60 * RATE, np.float32), 64_000)
    assert not [each for each in found if each.HasField("interim")]
    assert not any(text(each) for each in finals(found))


def test_a_flush_ends_a_stretch_at_once(stubs: Stubs, talk: Floats) -> None:
    half = len(talk) // 2

    def messages() -> Iterator[Any]:
        yield Stream(config=config(omit_interim=True))
        yield Stream(audio=s16(talk[:half]))
        yield Stream(flush=Stream.Flush())
        yield Stream(audio=s16(talk[half:]))

    found = finals(list(stubs.transcription.StreamTranscribe(messages(), timeout=60)))
    assert half in {place(each.heard.end) for each in found}


REFUSED = {
    "config.pcm": Stream.Config(),
    "config.head": config(head="latin"),
    "config.options.beam": config(options=Options(beam=99)),
    "config.interval": config(interval={"seconds": 6}),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_cannot_be_heard_is_refused_by_name(stubs: Stubs, field: str) -> None:
    messages = upload(Stream, REFUSED[field], s16(speech()))
    refusal = refused(stubs.transcription.StreamTranscribe, messages)
    assert refusal.path == field


def test_messages_in_a_wrong_order_are_refused(stubs: Stubs) -> None:
    again = iter([Stream(config=config()), Stream(config=config())])
    refusal = refused(stubs.transcription.StreamTranscribe, again)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "STREAM_PROTOCOL")
    nothing = iter([Stream(config=config())])
    assert refused(stubs.transcription.StreamTranscribe, nothing).code == "INVALID_ARGUMENT"
