"""Texts that collections keep, and what is found in them, as messages and back."""

import math
from collections.abc import Iterable

from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    UNTIMED,
    HeadKind,
    Line,
    Span,
    TextHead,
    TextHit,
    Texts,
    TextScores,
    TextUnit,
)
from embedsvc.v1 import collection_pb2, search_pb2, types_pb2
from embedsvc.wire import metadata, times


def texts_message(kept: Texts) -> collection_pb2.CollectionTexts:
    """The texts that a collection keeps, as a message."""
    return collection_pb2.CollectionTexts(
        heads=[head.name for head in kept.heads],
        phone_heads=[head.name for head in kept.heads if head.kind is HeadKind.PHONES],
    )


def texts(message: collection_pb2.CollectionTexts) -> Texts:
    """The texts that a collection keeps, from their message."""
    heard = frozenset(message.phone_heads)
    return Texts(
        tuple(
            TextHead(name, HeadKind.PHONES if name in heard else HeadKind.TEXT)
            for name in message.heads
        )
    )


def asked(message: collection_pb2.CollectionTexts, field: str) -> list[str]:
    """Names of the heads of a new collection."""
    if message.phone_heads:
        raise InvalidArgument(
            f"`{field}.phone_heads` must be absent: they are told, not chosen",
            field=f"{field}.phone_heads",
        )
    return list(message.heads)


def transcript(
    messages: Iterable[collection_pb2.TranscriptLine], field: str = "transcript"
) -> tuple[Line, ...]:
    """What a caller knows to be said; raises InvalidArgument."""
    return tuple(_line(message, f"{field}[{place}]") for place, message in enumerate(messages))


def _line(message: collection_pb2.TranscriptLine, field: str) -> Line:
    if message.words:
        units = [
            TextUnit(word.text, _span(word.span, f"{field}.words[{place}].span"))
            for place, word in enumerate(message.words)
        ]
        return Line(message.text, tuple(units), language=message.language_code)
    span = _span(message.span, f"{field}.span") if message.HasField("span") else UNTIMED
    units = [TextUnit(word, span) for word in message.text.split()]
    if not units:
        raise InvalidArgument(f"`{field}.text` must not be empty", field=f"{field}.text")
    return Line(message.text, tuple(units), language=message.language_code)


def _span(message: types_pb2.TimeSpan, field: str) -> Span:
    span = times.span(message, field)
    if not span.start < span.end:
        raise InvalidArgument(f"`{field}` must end after its start", field=field)
    return span


def transcript_message(line: Line) -> collection_pb2.TranscriptLine:
    """A line that a caller brings, as a message."""
    if all(unit.span == UNTIMED for unit in line.units):
        return collection_pb2.TranscriptLine(text=line.text, language_code=line.language)
    return collection_pb2.TranscriptLine(
        text=line.text,
        span=times.span_message(line.span),
        words=_units(line),
        language_code=line.language,
    )


def line_message(line: Line) -> collection_pb2.StoredLine:
    """A stored line as a message."""
    return collection_pb2.StoredLine(
        text=line.text, span=times.span_message(line.span), head=line.head, units=_units(line)
    )


def line(message: collection_pb2.StoredLine, kept: Texts | None = None) -> Line:
    """A stored line from its message; what its head writes is known from `kept`."""
    kinds = {} if kept is None else {head.name: head.kind for head in kept.heads}
    units = [TextUnit(each.text, times.span(each.span, "span")) for each in message.units]
    kind = kinds.get(message.head, HeadKind.TEXT)
    return Line(message.text, tuple(units), message.head, kind)


def _units(line: Line) -> list[collection_pb2.TranscriptWord]:
    return [
        collection_pb2.TranscriptWord(text=unit.text, span=times.span_message(unit.span))
        for unit in line.units
    ]


def hit_message(hit: TextHit) -> search_pb2.TextHit:
    """A hit of a search by text, as a message."""
    return search_pb2.TextHit(
        recording_id=hit.id,
        score=hit.score,
        matched_span=times.span_message(hit.span),
        metadata=metadata.metadata_message(hit.metadata),
        matched_text=hit.text,
        head=hit.head,
        confidence=None if math.isnan(hit.confidence) else hit.confidence,
        word_score=hit.scores.words,
        phone_score=hit.scores.phones,
        audio_score=hit.scores.audio,
    )


def hit(message: search_pb2.TextHit) -> TextHit:
    """A hit of a search by text, from its message."""
    return TextHit(
        id=message.recording_id,
        score=message.score,
        span=times.span(message.matched_span, "matched_span"),
        metadata=metadata.metadata(message.metadata, "metadata"),
        text=message.matched_text,
        head=message.head,
        confidence=message.confidence if message.HasField("confidence") else math.nan,
        scores=TextScores(
            message.word_score if message.HasField("word_score") else None,
            message.phone_score if message.HasField("phone_score") else None,
            message.audio_score if message.HasField("audio_score") else None,
        ),
    )
