"""Live text: what is told while somebody speaks, and what is final."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from embedsvc.ctc import count
from embedsvc.types import Floats
from tests.service.calls import RATE, Stubs, pcm, refused, s16, speech, upload
from tests.service.live import (
    BEGAN,
    ENDED,
    LOOKAHEAD,
    Stream,
    config,
    events,
    finals,
    place,
    talking,
    text,
    told,
    with_flush,
    words,
)
from tests.service.test_transcribe import ENGLISH, Options, Request, samples

NEW = {"event", "progress", "end"}
AHEAD = {"mode": LOOKAHEAD, "interval": {"seconds": 1}}
MODES: list[dict[str, Any]] = [{}, AHEAD, AHEAD | {"final_pass": True}]


@pytest.fixture(scope="module")
def talk() -> Floats:
    return talking()


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


@pytest.mark.parametrize("mode", MODES)
def test_chunks_change_nothing(stubs: Stubs, talk: Floats, mode: dict[str, Any]) -> None:
    usual = told(stubs, talk, events=True, **mode)
    for chunk in (998, 100_000):
        other = told(stubs, talk, chunk, events=True, **mode)
        assert events(other) == events(usual)
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
    # What is quiet at a cut belongs to neither side.
    assert all(0 <= other[0] - one[1] < RATE // 4 for one, other in pairwise(spans))
    assert spans[-1][1] == len(endless)


def test_silence_says_nothing_however_long(stubs: Stubs) -> None:
    found = told(stubs, np.zeros(60 * RATE, np.float32), 64_000)
    assert not [each for each in found if each.HasField("interim")]
    assert not any(text(each) for each in finals(found))


def test_a_flush_ends_a_stretch_at_once(stubs: Stubs, talk: Floats) -> None:
    half = len(talk) // 2
    for mode, slack in (({}, 0), ({"mode": LOOKAHEAD}, RATE // 10)):
        messages = with_flush(talk, half, omit_interim=True, **mode)
        found = finals(list(stubs.transcription.StreamTranscribe(messages, timeout=60)))
        assert any(half - slack <= place(each.heard.end) <= half for each in found)


@pytest.mark.parametrize("step", [{}, {"interval": {"nanos": 200_000_000}}])
def test_what_a_lookahead_told_is_never_taken_back(
    stubs: Stubs, talk: Floats, step: dict[str, Any]
) -> None:
    before: list[Any] = []
    interims = 0
    for each in told(stubs, talk, mode=LOOKAHEAD, **step):
        if each.HasField("final"):
            found = words(each.final)
            assert [word.text for word in found[: len(before)]] == [word.text for word in before]
            before = []
            continue
        interims += 1
        now = list(each.interim.stable_words)
        assert now[: len(before)] == before
        assert each.interim.stable_text == " ".join(word.text for word in now)
        assert all(0 <= token.confidence <= 1 for word in now for token in word.tokens)
        before = now
    assert interims >= 10


def test_a_lookahead_with_a_final_pass_says_what_a_recording_does(
    stubs: Stubs, talk: Floats
) -> None:
    found = finals(told(stubs, talk, mode=LOOKAHEAD, final_pass=True, options=Options(beam=4)))
    assert sum(map(bool, map(text, found))) >= 3
    for each in found:
        start, end = place(each.heard.start), place(each.heard.end)
        request = Request(audio=pcm(talk[start:end]), options=Options(beam=4))
        assert text(each) == text(stubs.transcription.Transcribe(request))


def test_a_lookahead_says_nearly_what_a_recording_does(stubs: Stubs, talk: Floats) -> None:
    heard = " ".join(map(text, finals(told(stubs, talk, mode=LOOKAHEAD)))).split()
    whole = text(stubs.transcription.Transcribe(Request(audio=pcm(talk)))).split()
    assert count(heard, whole).rate < 0.25


@pytest.mark.parametrize("mode", MODES)
def test_events_tell_when_speech_begins_and_ends(
    stubs: Stubs, talk: Floats, mode: dict[str, Any]
) -> None:
    replies = told(stubs, talk, events=True, **mode)
    found = events(replies)
    assert [kind for kind, _ in found] == [BEGAN, ENDED] * (len(found) // 2)
    assert len(found) >= 6
    assert all(one[1] <= other[1] for one, other in pairwise(found))
    starts = [place(words(each)[0].span.start) for each in finals(replies) if words(each)]
    began = [at for kind, at in found if kind == BEGAN]
    assert all(min(abs(at - start) for at in began) < RATE // 2 for start in starts)
    end = replies[-1].end
    assert end.usage.audio_seconds == len(talk) / RATE
    assert end.usage.frames > 50 * end.usage.audio_seconds
    assert (end.head, end.timing.compute.ToNanoseconds() > 0) == ("phones", True)
    assert not [each for each in told(stubs, talk, **mode) if each.WhichOneof("message") in NEW]


def test_quiet_that_ends_a_stretch_is_chosen(stubs: Stubs, talk: Floats) -> None:
    for mode in MODES:
        patient = told(stubs, talk, omit_interim=True, end_silence={"seconds": 3}, **mode)
        assert len([each for each in finals(patient) if text(each)]) == 1
        hasty = told(stubs, talk, omit_interim=True, end_silence={"nanos": 200_000_000}, **mode)
        assert len([each for each in finals(hasty) if text(each)]) >= 3


@pytest.mark.parametrize("mode", MODES)
def test_silence_is_told_and_costs_nothing(stubs: Stubs, mode: dict[str, Any]) -> None:
    silence = np.zeros(60 * RATE, np.float32)
    found = told(stubs, silence, 64_000, events=True, **mode)
    until = [place(each.progress.heard_until) for each in found if each.HasField("progress")]
    assert until == sorted(until)
    assert until[-1] > 50 * RATE
    assert found[-1].end.usage.frames < 10 * 50


REFUSED = {
    "config.pcm": Stream.Config(),
    "config.head": config(head="latin"),
    "config.options.beam": config(options=Options(beam=99)),
    "config.interval": config(interval={"seconds": 6}),
    "config.mode": config(mode=9),
    "config.lookahead": config(lookahead={"seconds": 1}),
    "config.final_pass": config(final_pass=True),
    "config.end_silence": config(end_silence={"seconds": 6}),
    "config.resume_token": config(resume_token=b"a" * 200),
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
