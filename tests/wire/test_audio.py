from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import AudioEmpty, InvalidArgument
from embedsvc.types import (
    AudioWarning,
    ChannelPolicy,
    PcmFormat,
    SampleFormat,
    Source,
    WarningCode,
)
from embedsvc.v1 import types_pb2
from embedsvc.wire import audio

NEWER: Any = 9
"""A number that some later version may give a meaning."""

formats = st.builds(
    PcmFormat,
    st.sampled_from(SampleFormat),
    sample_rate=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 2**32 - 1),
)
sources = st.builds(
    Source,
    data=st.binary(max_size=20),
    pcm=st.none() | formats,
    policy=st.sampled_from(ChannelPolicy),
    strict=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(source=sources, id=st.text(st.characters(codec="utf-8"), max_size=5))
def test_a_source_survives(source: Source, id: str) -> None:
    message = types_pb2.Audio.FromString(audio.source_message(source, id).SerializeToString())
    assert message.id == id
    assert audio.source(message, "audio") == source


@given(st.lists(st.builds(AudioWarning, st.sampled_from(WarningCode), st.text("ab", max_size=3))))
def test_warnings_survive(warnings: list[AudioWarning]) -> None:
    assert audio.warnings(audio.warning_messages(warnings)) == tuple(warnings)


def test_a_warning_of_a_newer_server_is_left_out() -> None:
    known = types_pb2.Warning(code=types_pb2.WARNING_CODE_CLIPPING, message="loud")
    newer = types_pb2.Warning(code=NEWER, message="new")
    assert audio.warnings([newer, known]) == (AudioWarning(WarningCode.CLIPPING, "loud"),)


def test_what_is_absent_is_mono_and_mixed() -> None:
    form = types_pb2.PcmFormat(format=types_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=8000)
    message = types_pb2.Audio(pcm=types_pb2.PcmAudio(format=form, samples=b"ab"))
    expected = Source(b"ab", PcmFormat(SampleFormat.S16, 8000, 1), ChannelPolicy.MIX, strict=False)
    assert audio.source(message, "audio") == expected


@pytest.mark.parametrize(
    ("message", "kind", "field"),
    [
        (types_pb2.Audio(), AudioEmpty, "a"),
        (types_pb2.Audio(pcm=types_pb2.PcmAudio()), InvalidArgument, "a.pcm.format.format"),
        (types_pb2.Audio(encoded=b"x", channel_policy=NEWER), InvalidArgument, "a.channel_policy"),
    ],
)
def test_the_part_of_audio_at_fault_is_named(
    message: types_pb2.Audio, kind: type[InvalidArgument], field: str
) -> None:
    with pytest.raises(kind) as caught:
        audio.source(message, "a")
    assert caught.value.field == field


def test_the_cost_is_in_seconds_and_frames() -> None:
    message = audio.usage_message(8_000, 24)
    assert (message.audio_seconds, message.frames) == (0.5, 24)
