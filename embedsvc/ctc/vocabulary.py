"""From the labels of a head to text, and back."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from embedsvc.ctc.runs import Labels
from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.types import Floats, Vocabulary

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def check(log_probs: Floats, vocabulary: Vocabulary) -> None:
    """Raise TensorShape unless `log_probs` are (T, V) of the vocabulary, and distributions."""
    size = len(vocabulary.labels)
    if size < 2 or not 0 <= vocabulary.blank < size:
        raise InvalidArgument(
            f"`vocabulary` must have a blank and another label, but has {size} labels and its "
            f"blank is {vocabulary.blank}",
            field="vocabulary",
        )
    if log_probs.ndim != 2 or log_probs.shape[1] != size:
        raise TensorShape(
            f"`log_probs` must be (frames, {size}), as the vocabulary is, but are "
            f"{log_probs.shape}",
            field="log_probs",
        )
    if not np.isfinite(log_probs.max(axis=1)).all():
        raise TensorShape(
            "`log_probs` must give each frame a label, but one has NaN, infinity or no probability",
            field="log_probs",
        )


def text_of(label: int, vocabulary: Vocabulary) -> str:
    """What is written for a label: nothing for a blank or a silent one."""
    if label == vocabulary.blank or label in vocabulary.silent:
        return ""
    if label == vocabulary.space:
        return " "
    return UNKNOWN if label == vocabulary.unknown else vocabulary.labels[label]


def is_written(label: int, vocabulary: Vocabulary) -> bool:
    """Whether a label is part of a word."""
    return label != vocabulary.space and bool(text_of(label, vocabulary))


def text(labels: Sequence[int], vocabulary: Vocabulary) -> str:
    """What is written for labels, words one space apart; each phone is a word of its own.

    >>> text([1, 2, 3, 3, 1], Vocabulary(("", "a", "b", "|"), blank=0, space=3))
    'ab a'
    """
    joint = " " if vocabulary.space is None else ""
    return " ".join(joint.join(text_of(label, vocabulary) for label in labels).split())


def encode(text: str, vocabulary: Vocabulary) -> Labels:
    """Labels of a text, the longest that fits first.

    A character that is no label is tried in lower and upper case; a dash that is none parts
    words, and other punctuation that is none is left out, as it is not said. Any other character
    that is none, such as a digit, raises InvalidArgument; so does text without a label.
    """
    known = _writable(vocabulary)
    longest = max(map(len, known), default=0)
    words = [list(_labels(word, known, longest)) for word in _words(text, known)]
    between = [] if vocabulary.space is None else [vocabulary.space]
    found: list[int] = []
    for word in filter(None, words):
        found += (between if found else []) + word
    if not found:
        raise InvalidArgument("`text` must have something to say, but has nothing", field="text")
    return tuple(found)


@lru_cache(maxsize=16)
def _writable(vocabulary: Vocabulary) -> dict[str, int]:
    """Text of each label that is written as itself, the first of equal ones."""
    places = range(len(vocabulary.labels) - 1, -1, -1)
    return {
        unicodedata.normalize("NFC", vocabulary.labels[place]): place
        for place in places
        if place != vocabulary.unknown and is_written(place, vocabulary)
    }


def _words(text: str, known: dict[str, int]) -> list[str]:
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        " " if letter not in known and unicodedata.category(letter) == "Pd" else letter
        for letter in composed
    ).split()


def _labels(word: str, known: dict[str, int], longest: int) -> Iterator[int]:
    place = 0
    while place < len(word):
        size, labels = _next(word[place : place + longest], known) or (1, None)
        if labels is None:
            labels = _otherwise(word[place], known)
        yield from labels
        place += size


def _next(ahead: str, known: dict[str, int]) -> tuple[int, Labels] | None:
    for size in range(len(ahead), 0, -1):
        for form in (ahead[:size], ahead[:size].lower(), ahead[:size].upper()):
            if form in known:
                return size, (known[form],)
    return None


def _otherwise(letter: str, known: dict[str, int]) -> Labels:
    """Labels of a letter that is none: of its other case where that is longer, as SS of ß."""
    for form in (letter.lower(), letter.upper(), letter.replace("\u2019", "'")):
        if all(each in known for each in form):
            return tuple(known[each] for each in form)
    if unicodedata.category(letter).startswith("P"):
        return ()
    raise InvalidArgument(
        f"`text` must be of letters that the vocabulary has, but it has no {letter!r} "
        f"(U+{ord(letter):04X})",
        field="text",
    )
