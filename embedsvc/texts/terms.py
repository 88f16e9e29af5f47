"""Words as they are compared: without case, marks that readers may leave out, and punctuation.

What is typed is always plain words; nothing in it is a command to the database.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from embedsvc.errors import InvalidArgument

MAX_CHARACTERS = 1_000
"""Of a typed text."""

MAX_PHRASES = 100
"""Words, or pairs of letters of a script without spaces, that a typed text may come to."""

_OPTIONAL = frozenset({*range(10, 37), *range(200, 256)})
"""Canonical combining classes (Unicode Standard Annex 44, 5.7.4) of marks that are often left out:
points of Hebrew and Arabic, and accents above and below. Vowel signs of Indic scripts and
of Thai have others."""

_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

_TYPED = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class Phrase:
    """Terms that stand one after the other; with `prefix`, the last may go on."""

    terms: tuple[str, ...]
    prefix: bool = False

    def __len__(self) -> int:
        return len(self.terms)

    def at(self, terms: Sequence[str]) -> Iterator[int]:
        """Where it begins among `terms`."""
        wide = len(self.terms)
        for start in range(len(terms) - wide + 1):
            last = terms[start + wide - 1]
            ends = last.startswith(self.terms[-1]) if self.prefix else last == self.terms[-1]
            if ends and tuple(terms[start : start + wide - 1]) == self.terms[:-1]:
                yield start


def terms_of(text: str) -> list[str]:
    """The words of `text`; each letter of a script without spaces is one.

    >>> terms_of("L'Été à Łódź"), terms_of("我们 walk")
    (['l', 'ete', 'a', 'łodz'], ['我', '们', 'walk'])
    """
    terms: list[str] = []
    joined = False
    for letter in _folded(text):
        kind = unicodedata.category(letter)[0]
        if kind == "M" and joined:
            terms[-1] += letter
        elif kind not in "LN":
            joined = False
        elif joined and not is_spaceless(letter) and not is_spaceless(terms[-1][0]):
            terms[-1] += letter
        else:
            terms.append(letter)
            joined = True
    return terms


def is_spaceless(letter: str) -> bool:
    """Whether the script of `letter` puts no spaces between words."""
    code = ord(letter)
    return any(first <= code <= last for first, last in _SPACELESS)


def asked(text: str) -> tuple[Phrase, ...]:
    """What a typed text asks for, each of them once; any of it may match.

    Words in double quotes stand together, a word before an asterisk may go on, and a run of
    letters without spaces is asked for in pairs. Raises InvalidArgument when nothing is left.
    """
    phrases = list(dict.fromkeys(_phrases(text)))
    if not phrases:
        raise InvalidArgument(
            f"`text` must have a letter or a digit, but is {text[:80]!r}", field="text"
        )
    if len(phrases) > MAX_PHRASES:
        raise InvalidArgument(
            f"`text` must be at most {MAX_PHRASES} words, but is {len(phrases)}",
            field="text",
            limit_words=MAX_PHRASES,
        )
    return tuple(phrases)


def check_length(text: str, field: str) -> None:
    """Raise InvalidArgument unless something is typed, and not too much."""
    if not text.strip():
        raise InvalidArgument(f"`{field}` must not be empty", field=field)
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument(
            f"`{field}` must have at most {MAX_CHARACTERS} characters, but has {len(text)}",
            field=field,
            limit_characters=MAX_CHARACTERS,
        )


def covered(phrases: Sequence[Phrase], terms: Sequence[str]) -> tuple[int, int]:
    """The shortest run of `terms` with every phrase that is among them; (0, 0) for none."""
    places = sorted(
        (start, start + len(phrase), number)
        for number, phrase in enumerate(phrases)
        for start in phrase.at(terms)
    )
    wanted = len({number for *_, number in places})
    best = (0, 0)
    inside: dict[int, int] = {}
    left = 0
    for start, _, number in places:
        inside[number] = inside.get(number, 0) + 1
        while len(inside) == wanted:
            end = max(stop for _, stop, _ in places[left : _after(places, start)])
            if best == (0, 0) or end - places[left][0] < best[1] - best[0]:
                best = (places[left][0], end)
            gone = places[left][2]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            left += 1
    return best


def _after(places: Sequence[tuple[int, int, int]], start: int) -> int:
    return next((at for at, place in enumerate(places) if place[0] > start), len(places))


def _phrases(text: str) -> Iterator[Phrase]:
    for quoted, bare in _TYPED.findall(text):
        terms = terms_of(quoted or bare)
        if not terms:
            continue
        if not quoted and len(terms) > 2 and all(is_spaceless(term[0]) for term in terms):  # a pair
            yield from map(Phrase, pairwise(terms))
        else:
            yield Phrase(tuple(terms), prefix=not quoted and bare.endswith("*"))


def _folded(text: str) -> str:
    """NFKC, without case and optional marks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    apart = unicodedata.normalize("NFD", plain)
    kept = (letter for letter in apart if unicodedata.combining(letter) not in _OPTIONAL)
    return unicodedata.normalize("NFC", "".join(kept))
