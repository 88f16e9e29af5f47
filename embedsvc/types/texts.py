"""Texts that a collection keeps beside its vectors."""

import math
from dataclasses import dataclass

from embedsvc.types.audio import Span
from embedsvc.types.transcribing import HeadKind


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

    The units stand in `text` in their order.
    """

    text: str
    units: tuple[TextUnit, ...]
    head: str = ""
    kind: HeadKind = HeadKind.TEXT

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
