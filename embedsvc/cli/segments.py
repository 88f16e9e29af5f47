"""Segments of transcripts, on a terminal and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from embedsvc.cli.output import span_text
from embedsvc.types import Token, TranscriptSegment, Word

SURE, UNSURE = 0.8, 0.5
"""Calibrated confidences from which a word is shown plainly, and from which in yellow."""


def show_segment(shown: Console, segment: TranscriptSegment) -> None:
    """A segment on a line: when, how surely, and what, with what is doubtful in color."""
    line = Text(f"{span_text(segment.span)}  {segment.confidence:6.1%}  ")
    calibrated = "isotonic" in segment.method
    for place, word in enumerate(segment.words):
        line.append(" " if place else "")
        line.append(word.text, style=_style(word) if calibrated else "")
    shown.print(line)


def _style(word: Word) -> str:
    if word.confidence >= SURE:
        return ""
    return "yellow" if word.confidence >= UNSURE else "red"


def described_segment(segment: TranscriptSegment) -> dict[str, Any]:
    """A segment for JSON."""
    return {
        **_timed(segment),
        "confidence_method": segment.method,
        "words": [described_word(word) for word in segment.words],
        "alternatives": [{"text": each.text, "score": each.score} for each in segment.others],
    }


def described_word(word: Word) -> dict[str, Any]:
    """A word and its tokens, for JSON."""
    return {**_timed(word), "tokens": _tokens(word.tokens)}


def _tokens(tokens: Sequence[Token]) -> list[dict[str, Any]]:
    return [
        {
            **_timed(token),
            "log_prob": token.log_prob,
            "entropy": token.entropy,
            "alternatives": {each.text: each.probability for each in token.alternatives},
        }
        for token in tokens
    ]


def _timed(part: TranscriptSegment | Word | Token) -> dict[str, Any]:
    start, end = part.span.seconds
    return {
        "text": part.text,
        "start_seconds": start,
        "end_seconds": end,
        "confidence": None if part.confidence != part.confidence else part.confidence,  # NaN
    }
