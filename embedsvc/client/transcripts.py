"""What is written down, as a client gets it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedsvc.ctc import low_confidence
from embedsvc.timing import to_seconds
from embedsvc.types import (
    AudioWarning,
    HeadKind,
    ProbeAnswer,
    Span,
    SpeechEventKind,
    Timing,
    TranscriptSegment,
    Word,
)
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
    """Text of live speech that goes on: `stable` only grows until the final.

    `words` are those of `stable`, with times and confidence.
    """

    stable: str
    unstable: str
    heard: Span
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class FinalText:
    """What is written of a stretch of a live stream that is over.

    With `resume_token` the stream can go on in another call, from the sample `resume_from` on.
    """

    segments: tuple[TranscriptSegment, ...]
    heard: Span
    resume_token: bytes = b""
    resume_from: int = 0

    @property
    def text(self) -> str:
        """All of it; empty for no speech."""
        return " ".join(segment.text for segment in self.segments)


@dataclass(frozen=True)
class SpeechEvent:
    """Speech began or ended in a live stream, at the sample `at` at 16 kHz."""

    kind: SpeechEventKind
    at: int

    @property
    def seconds(self) -> float:
        """When, in seconds since the start of the stream."""
        return to_seconds(self.at)


@dataclass(frozen=True)
class StreamProgress:
    """Nothing was said that waits for a final, up to the sample `heard_until` of a live stream."""

    heard_until: int
    resume_token: bytes
    resume_from: int


@dataclass(frozen=True)
class StreamEnd:
    """What is known of a live stream at its end: `frames` are those of all passes."""

    head: str
    kind: HeadKind
    language: str
    warnings: tuple[AudioWarning, ...]
    seconds: float
    timing: Timing
    frames: int


LiveAnswer = InterimText | FinalText | SpeechEvent | StreamProgress | StreamEnd


def live_answer(message: Any) -> LiveAnswer | None:
    """What is told of a live stream, from its message; nothing for what is not known here."""
    kind = message.WhichOneof("message")
    part: Any = None if kind is None else getattr(message, kind)
    match kind:
        case "interim":
            words = tuple(map(transcripts.word, part.stable_words))
            heard = times.span(part.heard, "heard")
            return InterimText(part.stable_text, part.unstable_text, heard, words)
        case "final":
            segments = transcripts.segments(part.segments)
            return FinalText(segments, times.span(part.heard, "heard"), *_resume(part))
        case "event":
            number = enums.ours(enums.SPEECH_EVENT, part.kind, "kind")
            return SpeechEvent(number, times.samples(part.time, "time"))
        case "progress":
            until = times.samples(part.heard_until, "heard_until")
            return StreamProgress(until, *_resume(part))
        case "end":
            return StreamEnd(**_common(part), frames=part.usage.frames)
    return None


def _resume(part: Any) -> tuple[bytes, int]:
    return part.resume_token, times.samples(part.resume_from, "resume_from")


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
