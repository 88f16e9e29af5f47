"""Phones of transcripts, as espeak-ng says them, to be searched beside what heads hear.

So a name is found that is typed as it sounds, or in the letters of another language.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from embedsvc.texts.pronouncing import Said, said
from embedsvc.types import HeadKind, Line, TextHead, TextUnit

HEAD = TextHead("transcript:phones", HeadKind.PHONES)
"""What writes them, beside the heads of models, of which none can have that name."""


THREADS = ThreadPoolExecutor(2, "espeak")
"""Those that wait for espeak-ng: a megabyte takes seconds, and everything else has others."""


def check() -> None:
    """Raise FeatureDisabled where espeak-ng is not there."""
    said(["a"], "eng")


def lines_of(transcript: Sequence[Line]) -> tuple[Line, ...]:
    """Phones of the lines that tell their language, where espeak-ng speaks it.

    Each line has its own, with the times of its words, or of all of it where espeak-ng parts words
    otherwise. Raises FeatureDisabled without espeak-ng, and Unavailable where it does not answer.
    """
    languages = dict.fromkeys(line.language for line in transcript if line.language)
    return tuple(
        found
        for language in languages
        for found in _lines([line for line in transcript if line.language == language], language)
    )


def _lines(lines: Sequence[Line], language: str) -> Iterator[Line]:
    for line, each in zip(lines, said([line.text for line in lines], language), strict=True):
        if each.phones:
            yield Line(" ".join(each.phones), _units(line, each), HEAD.name, HEAD.kind)


def _units(line: Line, found: Said) -> tuple[TextUnit, ...]:
    alike = found.words[-1] + 1 == len(line.units)
    return tuple(
        TextUnit(phone, line.units[word].span if alike else line.span)
        for phone, word in zip(found.phones, found.words, strict=True)
    )
