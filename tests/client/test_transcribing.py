"""Transcripts from Python, as values."""

from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client
from embedsvc.client import FinalText, InterimText
from embedsvc.errors import HeadNotFound, InvalidArgument
from embedsvc.types import DecodeOptions, Floats, HeadKind, HotWord, PcmFormat, SampleFormat


def test_heads_are_values(client: Client) -> None:
    *_, head = client.heads()
    assert (head.name, head.kind, head.languages) == ("phones", HeadKind.PHONES, ())
    assert head.frame_seconds == 0.02


def test_a_transcript_tells_what_when_and_how_surely(client: Client, clip: Path) -> None:
    found = client.transcribe(clip, options=DecodeOptions(8, 3, 2), probes=["language"])
    assert (found.head, found.kind) == ("phones", HeadKind.PHONES)
    (segment,) = found.segments
    assert segment.method == client.heads()[-1].calibration
    assert found.text == segment.text == " ".join(word.text for word in segment.words)
    assert segment.span.seconds[1] <= found.seconds
    assert len(segment.others) == 2
    assert segment.text not in {other.text for other in segment.others}
    assert {len(word.tokens[0].alternatives) for word in segment.words} == {2}
    assert found.answers[0].classification.labels == ("eng",)
    assert found.low_confidence(1.01) == (segment.span,)
    assert found.low_confidence(0.0) == ()


def test_hot_words_are_written_where_they_fit(client: Client, clip: Path) -> None:
    plain = client.transcribe(clip, options=DecodeOptions(8))
    hot = client.transcribe(clip, options=DecodeOptions(8, hot_words=(HotWord("ɐ f ɹ", 6),)))
    assert "ɐ f ɹ" not in plain.text
    assert "ɐ f ɹ" in hot.text


def test_what_was_written_aligns_with_the_same_audio(client: Client, clip: Path) -> None:
    found = client.transcribe(clip)
    (segment,) = found.segments
    known = client.align(clip, segment.text)
    assert known.segment.text == segment.text
    assert (known.head, known.seconds) == (found.head, found.seconds)
    for one, other in zip(known.segment.words, segment.words, strict=True):
        assert one.text == other.text
        assert abs(one.span.start - other.span.start) <= 640
    for text, why in (("n 7", "no '7'"), ("", "nothing"), ("n " * 1_000, "frames")):
        with pytest.raises(InvalidArgument, match=why) as refused:
            client.align(clip, text)
        assert refused.value.field == "text"


def test_long_audio_is_uploaded_and_says_the_same(
    small: Client, remote: Client, speech: Floats
) -> None:
    long = np.tile(np.concatenate([speech, np.zeros(16_000, np.float32)]), 3)
    there, here = remote.transcribe((long, 16_000)), small.transcribe((long, 16_000))
    assert [segment.text for segment in here.segments] == [each.text for each in there.segments]
    assert len(here.segments) >= 3
    assert here.seconds == there.seconds == len(long) / 16_000


def test_a_language_and_a_head_choose(client: Client, clip: Path) -> None:
    assert client.transcribe(clip, language="pt-BR").head == "phones"
    with pytest.raises(HeadNotFound, match="'latin'"):
        client.transcribe(clip, head="latin")
    with pytest.raises(InvalidArgument, match="language_code"):
        client.align(clip, "a", language="??")


def test_live_text_ends_as_the_recording_of_its_samples(client: Client, speech: Floats) -> None:
    heard = np.concatenate([speech, np.zeros(16_000, np.float32), speech])
    data = np.asarray(heard, "<f4").tobytes()
    chunks = (data[place : place + 50_000] for place in range(0, len(data), 50_000))
    pcm = PcmFormat(SampleFormat.F32, 16_000)
    told = list(client.transcribe_stream(chunks, pcm, interval=0.5))
    finals = [each for each in told if isinstance(each, FinalText) and each.text]
    assert len(finals) >= 2
    for final in finals:
        part = heard[final.heard.start : final.heard.end]
        assert client.transcribe((part, 16_000)).text.replace("\n", " ") == final.text
    assert any(isinstance(each, InterimText) and each.stable for each in told)


def test_live_text_can_be_asked_for_at_once(client: Client, speech: Floats) -> None:
    data = np.asarray(speech, "<f4").tobytes()
    half = len(data) // 8 * 4
    pcm = PcmFormat(SampleFormat.F32, 16_000)
    told = client.transcribe_stream([data[:half], None, data[half:]], pcm)
    ends = [each.heard.end for each in told if isinstance(each, FinalText)]
    assert half // 4 in ends
    assert ends[-1] == len(speech)
    with pytest.raises(InvalidArgument, match="interval"):
        list(client.transcribe_stream([data], pcm, interval=9))
