"""Speech, from the bytes of a caller to the features of a window."""

from dataclasses import dataclass
from enum import StrEnum

from embedsvc.timing import SAMPLE_RATE
from embedsvc.types.arrays import Floats


@dataclass(frozen=True, order=True)
class Span:
    """Part of a recording, from `start` up to `end`, in samples at 16 kHz."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end in seconds."""
        return self.start / SAMPLE_RATE, self.end / SAMPLE_RATE


class WarningCode(StrEnum):
    """What the door noticed about audio that it nevertheless accepted."""

    RESAMPLED = "resampled"
    DOWNMIXED = "downmixed"
    CLIPPING = "clipping"
    MOSTLY_SILENCE = "mostly_silence"
    VERY_SHORT = "very_short"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class AudioWarning:
    """One thing noticed about the audio, for people and for programs."""

    code: WarningCode
    message: str


class ChannelPolicy(StrEnum):
    """What to do with more than one channel."""

    MIX = "mix"
    FIRST = "first"
    REJECT = "reject"


class SampleFormat(StrEnum):
    """Layout of one raw PCM sample, little-endian."""

    S16 = "s16"
    F32 = "f32"


@dataclass(frozen=True)
class PcmFormat:
    """How to read raw PCM; channels are interleaved."""

    format: SampleFormat
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True)
class Source:
    """Audio as a caller has it: the bytes of a file, or raw PCM when `pcm` says how to read it."""

    data: bytes
    pcm: PcmFormat | None = None
    policy: ChannelPolicy = ChannelPolicy.MIX
    strict: bool = False


@dataclass(frozen=True)
class Audio:
    """One mono utterance at 16 kHz, samples (N,) within [-1, 1] unless the source clipped."""

    samples: Floats
    warnings: tuple[AudioWarning, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Frames:
    """What a w2v-BERT encoder reads: features (T, 160), one row every 20 ms."""

    features: Floats

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Samples:
    """What an encoder of samples reads: (N,) at 16 kHz, which are so many `frames` to it.

    `language` says with whose adapters, "" for a model without.
    """

    samples: Floats
    frames: int
    language: str = ""

    def __len__(self) -> int:
        return self.frames


@dataclass(frozen=True)
class Window:
    """One stretch of audio for one pass of the encoder.

    `span` is what the encoder hears, `core` the part of it that this window answers for. The
    cores of a recording follow each other without gap or overlap, and both ends of both spans
    lie on the 20 ms grid, except the end of the recording.
    """

    samples: Floats
    span: Span
    core: Span


@dataclass(frozen=True)
class Windowing:
    """How long audio is cut for the encoder; both in samples at 16 kHz.

    A window answers for up to `length`, cut where the speech is quietest, and hears up to
    `context` more on either side; the last one answers for up to `length` + `context`.
    """

    length: int = 20 * SAMPLE_RATE
    context: int = 1 * SAMPLE_RATE
