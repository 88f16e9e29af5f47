"""The door: bytes become samples, windows and features; nothing past it asks for a format."""

from embedsvc.audio.decode import (
    Digest,
    FileStream,
    PcmStream,
    decode,
    decode_pcm,
    digest,
)
from embedsvc.audio.door import Door
from embedsvc.audio.features import features, log_mel, long_enough, stacked
from embedsvc.audio.running import RunningMel, Statistics, prior
from embedsvc.audio.sandbox import DecodePool, SandboxStream
from embedsvc.audio.speech import active, active_share
from embedsvc.audio.windows import Windower, core_frames, windows

__all__ = [
    "DecodePool",
    "Digest",
    "Door",
    "FileStream",
    "PcmStream",
    "RunningMel",
    "SandboxStream",
    "Statistics",
    "Windower",
    "active",
    "active_share",
    "core_frames",
    "decode",
    "decode_pcm",
    "digest",
    "features",
    "log_mel",
    "long_enough",
    "prior",
    "stacked",
    "windows",
]
