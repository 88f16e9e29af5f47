"""Audio, its warnings and its cost as messages."""

from collections.abc import Iterable

from embedsvc.errors import AudioEmpty, InvalidArgument
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import AudioWarning, ChannelPolicy, PcmFormat, Source
from embedsvc.v1 import types_pb2
from embedsvc.wire import enums


def source(message: types_pb2.Audio, field: str) -> Source:
    """What a caller sent, still as bytes."""
    policy = channel_policy(message.channel_policy, f"{field}.channel_policy")
    match message.WhichOneof("source"):
        case "encoded":
            return Source(message.encoded, None, policy, message.strict)
        case "pcm":
            form = pcm_format(message.pcm.format, f"{field}.pcm.format")
            return Source(message.pcm.samples, form, policy, message.strict)
        case _:
            raise AudioEmpty(f"`{field}` must be `encoded` or `pcm`, but is empty", field=field)


def source_message(source: Source, id: str = "") -> types_pb2.Audio:  # the field's name
    """A source as a message."""
    message = types_pb2.Audio(
        id=id, channel_policy=enums.CHANNELS[source.policy], strict=source.strict
    )
    if source.pcm is None:
        message.encoded = source.data
    else:
        message.pcm.format.CopyFrom(pcm_message(source.pcm))
        message.pcm.samples = source.data
    return message


def channel_policy(number: int, field: str) -> ChannelPolicy:
    """A channel policy; unset is MIX."""
    if not number:
        return ChannelPolicy.MIX
    return enums.ours(enums.CHANNELS, number, field)


def pcm_format(message: types_pb2.PcmFormat, field: str) -> PcmFormat:
    """How to read raw PCM; the door checks the numbers."""
    if not message.format:
        raise InvalidArgument(f"`{field}.format` must be set", field=f"{field}.format")
    form = enums.ours(enums.FORMAT, message.format, f"{field}.format")
    return PcmFormat(form, message.sample_rate_hz, message.channels or 1)


def pcm_message(form: PcmFormat) -> types_pb2.PcmFormat:
    """A PCM format as a message."""
    return types_pb2.PcmFormat(
        format=enums.FORMAT[form.format], sample_rate_hz=form.sample_rate, channels=form.channels
    )


def warning_messages(warnings: Iterable[AudioWarning]) -> list[types_pb2.Warning]:
    """Warnings as messages."""
    return [
        types_pb2.Warning(code=enums.WARNING[warning.code], message=warning.message)
        for warning in warnings
    ]


def warnings(messages: Iterable[types_pb2.Warning]) -> tuple[AudioWarning, ...]:
    """Warnings from messages; a code of a newer server is left out."""
    known = {number: code for code, number in enums.WARNING.items()}
    return tuple(
        AudioWarning(known[message.code], message.message)
        for message in messages
        if message.code in known
    )


def usage_message(samples: int, frames: int) -> types_pb2.Usage:
    """What a request cost."""
    return types_pb2.Usage(audio_seconds=samples / SAMPLE_RATE, frames=frames)
