"""What a live stream asks for and tells, step by step, whatever the way in which it is heard.

Whoever hears a stream is an iterator of steps: of passes, each to be run and taken before the next
step is asked for, and of what is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from embedsvc.pipeline.listening import Active
from embedsvc.pipeline.resuming import Place
from embedsvc.pipeline.takers import Taker
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import (
    AudioWarning,
    Frames,
    Span,
    SpeechEventKind,
    StreamMode,
    TranscriptSegment,
    Window,
    Word,
)


@dataclass(frozen=True)
class Plan:
    """How a stream is to be heard; all in samples.

    It is heard every `interval`, and a stretch ends after `end_silence`. `lookahead` is what
    follows a label before it is told, and `final_pass` hears stretches once more; both are of
    StreamMode.LOOKAHEAD alone.
    """

    mode: StreamMode = StreamMode.RECOMPUTE
    interval: int = SAMPLE_RATE
    lookahead: int = 0
    end_silence: int = SAMPLE_RATE // 2
    final_pass: bool = False


@dataclass(frozen=True)
class Given:
    """Features of a window that are there already, and which frames of its core hold sound."""

    frames: Frames
    active: Active


@dataclass(frozen=True)
class Pass:
    """A window for the encoder, whose answer `taker` takes; by its samples or by what is given."""

    window: Window
    taker: Taker
    given: Given | None = None

    @property
    def samples(self) -> int:
        """How much the encoder hears."""
        return len(self.window.span)


@dataclass(frozen=True)
class Interim:
    """Words of a stretch that goes on: what stays, and what may change."""

    stable: tuple[Word, ...]
    unstable: tuple[Word, ...]
    heard: Span


@dataclass(frozen=True)
class Final:
    """What is written of a stretch that is over."""

    segments: tuple[TranscriptSegment, ...]
    heard: Span
    place: Place


@dataclass(frozen=True)
class SpeechEvent:
    """Speech began or ended at the sample `at`."""

    kind: SpeechEventKind
    at: int


@dataclass(frozen=True)
class Progress:
    """Nothing was said that waits for its end, up to the sample `at`."""

    at: int
    place: Place


Told = Interim | Final | SpeechEvent | Progress
Steps = Iterator[Pass | Told]


class LiveSpeech(Protocol):
    """A stream that is heard; how does not depend on the chunks in which it comes."""

    @property
    def bodies(self) -> Mapping[str, str]:
        """The encoder that hears it, by its key, and the head that reads it."""
        ...

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed of the audio; complete after `finish`."""
        ...

    @property
    def samples(self) -> int:
        """What came of it in this call."""
        ...

    def push(self, data: bytes) -> Steps:
        """What more PCM lets hear and tell."""
        ...

    def flush(self) -> Steps:
        """The end of the stretch, with all that came so far."""
        ...

    def finish(self) -> Steps:
        """What is left; raises AudioTooShort for a stream shorter than a frame."""
        ...
