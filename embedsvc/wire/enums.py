"""Our enumerations and protobuf's, one table each; a number that is not in it is refused."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    ChannelPolicy,
    DType,
    HeadKind,
    Lane,
    MomentMethod,
    Pooling,
    ProbeTask,
    SampleFormat,
    SpeechEventKind,
    StreamMode,
    TextMatch,
    UnknownReason,
    WarningCode,
)
from embedsvc.v1 import classification_pb2, probe_pb2, search_pb2, transcription_pb2, types_pb2

Ours = TypeVar("Ours", bound=StrEnum)

POOLING = {
    Pooling.NONE: types_pb2.POOLING_NONE,
    Pooling.MEAN: types_pb2.POOLING_MEAN,
    Pooling.MEAN_STD: types_pb2.POOLING_MEAN_STD,
    Pooling.MAX: types_pb2.POOLING_MAX,
}
CHANNELS = {
    ChannelPolicy.MIX: types_pb2.CHANNEL_POLICY_MIX,
    ChannelPolicy.FIRST: types_pb2.CHANNEL_POLICY_FIRST,
    ChannelPolicy.REJECT: types_pb2.CHANNEL_POLICY_REJECT,
}
FORMAT: Mapping[SampleFormat, types_pb2.SampleFormat.ValueType] = {
    SampleFormat.S16: types_pb2.SAMPLE_FORMAT_S16LE,
    SampleFormat.F32: types_pb2.SAMPLE_FORMAT_F32LE,
}
DTYPE: Mapping[DType, types_pb2.DType.ValueType] = {
    DType.FLOAT16: types_pb2.DTYPE_FLOAT16,
    DType.FLOAT32: types_pb2.DTYPE_FLOAT32,
}
LANE: Mapping[Lane, types_pb2.Lane.ValueType] = {
    Lane.INTERACTIVE: types_pb2.LANE_INTERACTIVE,
    Lane.NORMAL: types_pb2.LANE_NORMAL,
    Lane.BULK: types_pb2.LANE_BULK,
}
MOMENT_METHOD: Mapping[MomentMethod, search_pb2.MomentMethod.ValueType] = {
    MomentMethod.ALIGNMENT: search_pb2.MOMENT_METHOD_ALIGNMENT,
    MomentMethod.LOCAL: search_pb2.MOMENT_METHOD_LOCAL,
    MomentMethod.MAX_SIM: search_pb2.MOMENT_METHOD_MAX_SIM,
}
TEXT_MATCH: Mapping[TextMatch, search_pb2.TextMatch.ValueType] = {
    TextMatch.WORDS: search_pb2.TEXT_MATCH_WORDS,
    TextMatch.PHONES: search_pb2.TEXT_MATCH_PHONES,
    TextMatch.BOTH: search_pb2.TEXT_MATCH_BOTH,
}
PROBE_TASK: Mapping[ProbeTask, probe_pb2.ProbeTask.ValueType] = {
    ProbeTask.SINGLE_LABEL: probe_pb2.PROBE_TASK_SINGLE_LABEL,
    ProbeTask.MULTI_LABEL: probe_pb2.PROBE_TASK_MULTI_LABEL,
    ProbeTask.REGRESSION: probe_pb2.PROBE_TASK_REGRESSION,
}
UNKNOWN: Mapping[UnknownReason, classification_pb2.UnknownReason.ValueType] = {
    UnknownReason.TOO_SHORT: classification_pb2.UNKNOWN_REASON_TOO_SHORT,
    UnknownReason.LITTLE_EVIDENCE: classification_pb2.UNKNOWN_REASON_LITTLE_EVIDENCE,
    UnknownReason.FAR: classification_pb2.UNKNOWN_REASON_FAR,
}
HEAD_KIND: Mapping[HeadKind, transcription_pb2.HeadKind.ValueType] = {
    HeadKind.TEXT: transcription_pb2.HEAD_KIND_TEXT,
    HeadKind.PHONES: transcription_pb2.HEAD_KIND_PHONES,
}
STREAM_MODE: Mapping[StreamMode, transcription_pb2.StreamMode.ValueType] = {
    StreamMode.RECOMPUTE: transcription_pb2.STREAM_MODE_RECOMPUTE,
    StreamMode.LOOKAHEAD: transcription_pb2.STREAM_MODE_LOOKAHEAD,
}
SPEECH_EVENT: Mapping[SpeechEventKind, transcription_pb2.SpeechEventKind.ValueType] = {
    SpeechEventKind.BEGAN: transcription_pb2.SPEECH_EVENT_KIND_BEGAN,
    SpeechEventKind.ENDED: transcription_pb2.SPEECH_EVENT_KIND_ENDED,
}
WARNING = {
    WarningCode.RESAMPLED: types_pb2.WARNING_CODE_RESAMPLED,
    WarningCode.DOWNMIXED: types_pb2.WARNING_CODE_DOWNMIXED,
    WarningCode.CLIPPING: types_pb2.WARNING_CODE_CLIPPING,
    WarningCode.MOSTLY_SILENCE: types_pb2.WARNING_CODE_MOSTLY_SILENCE,
    WarningCode.VERY_SHORT: types_pb2.WARNING_CODE_VERY_SHORT,
    WarningCode.TRUNCATED: types_pb2.WARNING_CODE_TRUNCATED,
}


def ours(table: Mapping[Ours, int], number: int, field: str) -> Ours:
    """Our value for a protobuf enum number that is set."""
    for value, theirs in table.items():
        if theirs == number:
            return value
    known = ", ".join(f"{value.name} ({theirs})" for value, theirs in table.items())
    raise InvalidArgument(f"`{field}` must be one of {known}, but is {number}", field=field)
