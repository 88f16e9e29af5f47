"""Texts that a collection keeps beside its vectors."""

import math
from dataclasses import dataclass

from embedsvc.types.audio import Span
from embedsvc.types.transcribing import HeadKind

UNTIMED = Span(0, 0)
"""Of units that nobody gave times: stored, they last as long as their recording."""


@dataclass(frozen=True)
class TextUnit:
    """A word, a phone, or a letter of a script without spaces, and when it is said.

    The confidence is from 0 to 1, NaN where nobody gave one.
    """

    text: str
    span: Span
    confidence: float = math.nan


@dataclass(frozen=True)
class Line:
    """A stretch of a recording as text, written by a head, or, where `head` is empty, by a person.

    The units stand in `text` in their order. `language` is told of a line that a person brings, as
    a code of ISO 639 or BCP 47, so that its phones can be kept; it is not stored.
    """

    text: str
    units: tuple[TextUnit, ...]
    head: str = ""
    kind: HeadKind = HeadKind.TEXT
    language: str = ""

    @classmethod
    def untimed(cls, text: str, language: str = "") -> "Line":
        """What a whole recording says, where nobody knows when each word is said.

        >>> [unit.text for unit in Line.untimed("so it  is").units]
        ['so', 'it', 'is']
        """
        units = tuple(TextUnit(word, UNTIMED) for word in text.split())
        return cls(text, units, language=language)

    @property
    def span(self) -> Span:
        """From the first unit to the last."""
        return Span(
            min(unit.span.start for unit in self.units), max(unit.span.end for unit in self.units)
        )


@dataclass(frozen=True)
class TextHead:
    """A head whose text a collection keeps."""

    name: str
    kind: HeadKind


@dataclass(frozen=True)
class Texts:
    """The texts that a collection keeps: of these heads, and those that callers bring."""

    heads: tuple[TextHead, ...] = ()
