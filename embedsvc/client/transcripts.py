"""What is written down, as a client gets it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedsvc.ctc import low_confidence
from embedsvc.types import AudioWarning, HeadKind, ProbeAnswer, Span, Timing, TranscriptSegment
from embedsvc.wire import audio, enums, probes, times, transcripts


@dataclass(frozen=True)
class Transcript:
    """What `head` wrote of one recording; `answers` are of the probes that heard it too.

    `language` is the code of that which was written, "" where nobody said.
    """

    segments: tuple[TranscriptSegment, ...]
    head: str
    kind: HeadKind
    answers: tuple[ProbeAnswer, ...]
    warnings: tuple[AudioWarning, ...]
    seconds: float
    timing: Timing
    language: str = ""

    @property
    def text(self) -> str:
        """All of it, a line for each segment."""
        return "\n".join(segment.text for segment in self.segments)

    def low_confidence(self, below: float = transcripts.LOW_CONFIDENCE) -> tuple[Span, ...]:
        """Where words have a confidence below that, neighbors joined."""
        return tuple(span for each in self.segments for span in low_confidence(each, below))


@dataclass(frozen=True)
class Aligned:
    """When each word of a text is said, and how likely it is that it is."""

    segment: TranscriptSegment
    head: str
    kind: HeadKind
    warnings: tuple[AudioWarning, ...]
    seconds: float
    timing: Timing
    language: str = ""


@dataclass(frozen=True)
class InterimText:
    """Text of live speech that goes on: `stable` only grows until the final."""

    stable: str
    unstable: str
    heard: Span


@dataclass(frozen=True)
class FinalText:
    """What is written of a stretch of a live stream that is over."""

    segments: tuple[TranscriptSegment, ...]
    heard: Span

    @property
    def text(self) -> str:
        """All of it; empty for no speech."""
        return " ".join(segment.text for segment in self.segments)


def live_text(message: Any) -> InterimText | FinalText:
    """Live text, from its message."""
    if message.HasField("final"):
        heard = times.span(message.final.heard, "heard")
        return FinalText(transcripts.segments(message.final.segments), heard)
    told = message.interim
    return InterimText(told.stable_text, told.unstable_text, times.span(told.heard, "heard"))


def transcript(segments: Sequence[TranscriptSegment], end: Any) -> Transcript:
    """A transcript, from its segments and the message that tells of the rest."""
    return Transcript(
        segments=tuple(segments),
        answers=tuple(map(probes.answer, end.classifications)),
        **_common(end),
    )


def aligned(message: Any) -> Aligned:
    """A text with times, from its message."""
    return Aligned(segment=transcripts.segment(message.segment), **_common(message))


def _common(message: Any) -> dict[str, Any]:
    return {
        "head": message.head,
        "kind": enums.ours(enums.HEAD_KIND, message.kind, "kind"),
        "warnings": audio.warnings(message.warnings),
        "seconds": message.usage.audio_seconds,
        "timing": times.timing(message.timing),
        "language": message.language_code,
    }
