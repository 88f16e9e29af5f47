"""The texts of a recording: what heads write down in the pass that makes its vectors."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from embedsvc.batching import MAIN
from embedsvc.encoder.ctc import CtcHead
from embedsvc.errors import FailedPrecondition, HeadNotFound, InvalidArgument
from embedsvc.index import Collection
from embedsvc.pipeline import sounding
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.takers import Taker, by_body
from embedsvc.pipeline.writing import Writer
from embedsvc.texts.terms import is_spaceless
from embedsvc.types import (
    UNTIMED,
    DecodeOptions,
    HeadKind,
    Line,
    Span,
    TextHead,
    Texts,
    TextUnit,
    TranscriptSegment,
    Word,
)

if TYPE_CHECKING:
    from embedsvc.pipeline.submitting import Submission

T = TypeVar("T")

MAX_HEADS = 8
"""Heads that write down one recording."""


def chosen(heads: Heads, names: Sequence[str]) -> Texts:
    """The texts that a new collection is to keep.

    Raises InvalidArgument, HeadNotFound, or FeatureDisabled for phones of transcripts without
    espeak-ng.
    """
    if len(names) > MAX_HEADS or len(set(names)) < len(names):
        raise InvalidArgument(
            f"`texts.heads` must be at most {MAX_HEADS} different names, but is {', '.join(names)}",
            field="texts.heads",
        )
    found: list[TextHead] = []
    for place, name in enumerate(names):
        if not name:
            raise InvalidArgument(
                f"`texts.heads[{place}]` must not be empty", field=f"texts.heads[{place}]"
            )
        if name == sounding.HEAD.name:
            sounding.check()
            found.append(sounding.HEAD)
            continue
        try:
            info = heads.chosen(name).info
        except HeadNotFound as error:
            raise error.named(f"texts.heads[{place}]") from error
        found.append(TextHead(info.name, info.kind))
    return Texts(tuple(found))


def check_transcript(collection: Collection, lines: Sequence[Line]) -> None:
    """Raise FailedPrecondition for a transcript that the collection would not keep."""
    if lines and collection.texts.recipe is None:
        raise FailedPrecondition(
            f"`transcript` needs a collection that keeps texts, but {collection.name!r} was made "
            "without",
            field="transcript",
        )


def stored(kept: Texts | None, lines: Iterable[Line], samples: int) -> tuple[Line, ...]:
    """A transcript as a collection stores it; raises FeatureDisabled without espeak-ng.

    Lines have times, and where the collection keeps them, phones of their own behind them.
    """
    told = timed(lines, samples)
    if kept is None or sounding.HEAD not in kept.heads:
        return told
    return (*told, *sounding.lines_of(told))


async def in_thread(
    work: Callable[..., T], collection: Collection, submission: "Submission", *more: object
) -> T:
    """`work` of these, which stores a transcript, in a thread where its phones hold up no other."""
    kept = collection.texts.recipe
    sounds = submission.transcript and kept is not None and sounding.HEAD in kept.heads
    loop = asyncio.get_running_loop()
    pool = sounding.THREADS if sounds else None
    return await loop.run_in_executor(pool, partial(work, collection, submission, *more))


def timed(lines: Iterable[Line], samples: int) -> tuple[Line, ...]:
    """A transcript of a recording of so many samples; what has no time lasts as long as it."""
    whole = Span(0, samples)
    return tuple(
        replace(
            line,
            units=tuple(
                replace(unit, span=whole) if unit.span == UNTIMED else unit for unit in line.units
            ),
        )
        for line in lines
    )


def alike(stored: Sequence[Line], given: Sequence[Line]) -> bool:
    """Whether a transcript is the one that is stored; confidences do not count."""
    return [_told(line) for line in stored] == [_told(line) for line in given]


def _told(line: Line) -> tuple[str, list[tuple[str, Span]]]:
    return line.text, [(unit.text, unit.span) for unit in line.units]


class Scribe:
    """Writes down a recording with each head of its collection."""

    def __init__(self, heads: Heads, kept: Texts | None) -> None:
        self._writers = [
            (head, Writer(_head(heads, head), DecodeOptions()))
            for head in (kept.heads if kept else ())
            if head != sounding.HEAD
        ]

    @property
    def bodies(self) -> Mapping[str, str]:
        """Who hears the recording: the served model, and other bodies for their heads."""
        return {MAIN: ""} | {writer.body.key: head.name for head, writer in self._writers}

    def beside(self, taker: Taker) -> list[Taker]:
        """What takes a pass: one is for `taker` and for every head on the served model."""
        return by_body([taker, *(writer for _, writer in self._writers)])

    def lines(self, samples: int) -> tuple[Line, ...]:
        """What all of them wrote, after the last window of a recording of so many samples."""
        return tuple(
            line
            for head, writer in self._writers
            for line in lines_of(writer.rest(), head, samples)
        )


def lines_of(
    segments: Iterable[TranscriptSegment], head: TextHead, samples: int
) -> tuple[Line, ...]:
    """Segments as lines. Phones become one, so that what is looked for may go across a pause."""
    if head.kind is HeadKind.TEXT:
        made = (_line(each.text, each.words, head, samples) for each in segments)
        return tuple(line for line in made if line.units)
    words = [word for each in segments for word in each.words]
    line = _line(" ".join(word.text for word in words), words, head, samples)
    return (line,) if line.units else ()


def _line(text: str, words: Sequence[Word], head: TextHead, samples: int) -> Line:
    units = [unit for word in words for unit in _units(word, samples)]
    return Line(text, tuple(units), head.name, head.kind)


def _units(word: Word, samples: int) -> Iterable[TextUnit]:
    """The word, or its letters where the script has no spaces. The last frame is cut to the end."""
    parts: Sequence[tuple[str, Span, float]] = [(word.text, word.span, word.confidence)]
    spelled = "".join(token.text for token in word.tokens) == word.text
    if spelled and any(is_spaceless(letter) for letter in word.text):
        parts = [(token.text, token.span, token.confidence) for token in word.tokens]
    for text, span, confidence in parts:
        if text and span.start < min(span.end, samples):
            yield TextUnit(text, Span(span.start, min(span.end, samples)), confidence)


def _head(heads: Heads, kept: TextHead) -> CtcHead:
    try:
        return heads.chosen(kept.name)
    except (HeadNotFound, FailedPrecondition) as error:
        raise FailedPrecondition(
            f"`audio` is written down by head {kept.name!r} in this collection, but this server's "
            "model has no such head",
            field="audio",
        ) from error
