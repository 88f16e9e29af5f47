"""Phones: IPA cut into the labels that a phone head tells apart.

espeak-ng names its phonemes in IPA, but leaves ASCII of an older notation (Kirshenbaum 1993,
"Representing phonetics in ASCII") where nobody has given the IPA; both are read.
"""

# ruff: noqa: RUF001, RUF002  # IPA looks like other letters, and must

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

SILENCE = ""
LEAST = 150
"""Times that a phone must be heard to become a label of its own."""

_TIE = "\u0361"
_ASPIRATED = "ʰ"
_LETTERS = {
    "g": "ɡ", "ε": "ɛ", "Φ": "ɸ", "ᵻ": "ɪ", "ʦ": "ts", "ʧ": "tʃ", "ʤ": "dʒ",
    "S": "ʃ", "Z": "ʒ", "N": "ŋ", "X": "χ", "A": "ɑ", "K": "ɬ", "?": "ʔ",
    "ⁿ": "n", "ᵑ": "ŋ", "ᵐ": "m", "`": "ʼ", "#": "\u0325", "^": "ʲ", "[": "\u032a", ":": "ː",
    "J": "ɟ", "L": "ʎ", "R": "ʀ", "D": "ð", "T": "θ", "I": "ɪ", "U": "ʊ", "E": "ɛ", "O": "ɔ",
}  # fmt: skip
_SPELLINGS = (
    ("_h", _ASPIRATED), ('u"', "ʉ"), ("ts.", "ʈʂ"), ("dz.", "ɖʐ"), ("s.", "ʂ"), ("z.", "ʐ"),
    ("r.", "ɽ"), ("??", "ʔ"), ("t\u033b\u0361s\u032a", "ts"), ("d\u033b\u0361z\u032a", "dz"),
    ("t\u033b\u0361s", "ts"), ("d\u033b\u0361z", "dz"),
)  # fmt: skip
_AFFRICATES = ("ts", "dz", "tʃ", "dʒ", "tɕ", "dʑ", "ʈʂ", "ɖʐ", "tɬ")
_STOPS = frozenset("ptkbdɡqcɟʈɖsʃɕʂ")
_VOWELS = frozenset("aeiouyøæœɐɑɒɔəɘɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏ")
_MODIFIERS = frozenset("ːˑʰʲʷˠˤ˞ᵝʼʱⁿˡ̚")

_OF_LANGUAGE = {
    "cmn": {"i.": "ɻ\u0329", "i\u032a": "ɹ\u0329", "o-": "ɤ"},
    "kor": {
        "q-": "k\u0348", "q": "k", "t-": "t\u0348", "p-": "p\u0348", "s-": "s\u0348",
        "k-": "k\u0348",
    },
    "vie": {"e-": "ɛ"},
    "swe": {"sx": "ɧ"},
    "sqi": {"ll": "ɫ"},
    "ita": {"ss": "sː"},
    "yue": {
        "b": "p", "d": "t", "ɡ": "k", "p": "pʰ", "t": "tʰ", "k": "kʰ", "z": "ts", "c": "tsʰ",
    },
}  # fmt: skip
"""What only one voice means by a name, by ISO 639-3 code."""

_JYUTPING = (
    ("aa", "aː"), ("eo", "ɵ"), ("oe", "œː"), ("yu", "yː"), ("o", "ɔ"), ("e", "ɛ"), ("a", "ɐ"),
)  # fmt: skip
_CODAS = frozenset("ptk")


def cut(ipa: str) -> tuple[str, ...]:
    """Phones of IPA: letters with their modifiers, without stress, tone or punctuation.

    A stop with "h" is one phone when nothing else is beside it, as in the name of a phoneme.

    >>> cut("ˈt͡ʃaɪ t_h"), cut("hɒthaʊs"), cut("kʰaːn˧˥")
    (('t͡ʃ', 'a', 'ɪ', 'tʰ'), ('h', 'ɒ', 't', 'h', 'a', 'ʊ', 's'), ('kʰ', 'aː', 'n'))
    """
    pieces = unicodedata.normalize("NFD", ipa).split()
    return tuple(phone for piece in pieces for phone in _cut_name(piece))


def phones_of(name: str, language: str) -> tuple[str, ...]:
    """Phones of one name of a phoneme, as the espeak-ng voice of an ISO 639-3 language gives it."""
    decomposed = unicodedata.normalize("NFD", name)
    own = _OF_LANGUAGE.get(language, {})
    if decomposed in own:
        return cut(own[decomposed])
    if language == "yue":
        for letters, ipa in _JYUTPING:
            if letters in decomposed:
                decomposed = decomposed.replace(letters, ipa, 1)
                break
    if language in {"yue", "cmn"}:
        decomposed = decomposed.replace("nɡ", "ŋ")
    return cut(decomposed)


@dataclass(frozen=True)
class Timed:
    """Phones in order and where each begins, then where the last ends; a pause is ""."""

    phones: tuple[str, ...] = ()
    times: tuple[int, ...] = ()


def timed(names: Sequence[tuple[int, str]], end: int, language: str) -> Timed:
    """Phones of named phonemes, each with the time it begins; the last ends at `end`.

    A name of several phones is shared between them. What modifies the phone before, and what
    takes no time, does not become a phone of its own.
    """
    cut_names: list[tuple[int, list[str]]] = []
    for position, (time, name) in enumerate(names):
        before = names[position - 1][1] if position else ""
        phones = _in_context(name, before, language)
        if name and not phones:
            continue
        if phones and cut_names and _joins(phones, cut_names[-1][1], language):
            cut_names[-1][1][-1] += _ASPIRATED if phones == ["h"] else phones[0]
            continue
        cut_names.append((time, phones or [SILENCE]))
    return _spread(cut_names, end)


@dataclass(frozen=True)
class Inventory:
    """Labels of a phone head; the first is silence, and the blank of CTC."""

    labels: tuple[str, ...]

    @classmethod
    def of(cls, phones: Iterable[Sequence[str]], least: int = LEAST) -> "Inventory":
        """Phones that are heard at least `least` times, sorted, after silence."""
        counts = Counter(phone for each in phones for phone in each if phone)
        return cls((SILENCE, *sorted(phone for phone, count in counts.items() if count >= least)))

    def encode(self, phones: Iterable[str]) -> list[int]:
        """Labels of phones, pauses left out.

        A phone that is not among the labels loses its last modifiers until it is; one whose
        letter is not is left out.
        """
        found = (self.label(phone) for phone in phones)
        return [label for label in found if label]

    def label(self, phone: str) -> int:
        """Label of one phone, 0 when there is none for it."""
        while phone:
            if phone in self._positions:
                return self._positions[phone]
            phone = phone[:-1]
        return 0

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label: position for position, label in enumerate(self.labels)}


def _cut_name(name: str) -> list[str]:
    for spelling, ipa in _SPELLINGS:
        name = name.replace(spelling, ipa)
    name = "".join(_LETTERS.get(letter, letter) for letter in name).replace(_TIE, "")
    for pair in _AFFRICATES:
        name = name.replace(pair, f"{pair[0]}{_TIE}{pair[1]}")
    letters = [letter for letter in name if _is_letter(letter) or _is_modifier(letter)]
    phones: list[str] = []
    for letter in letters:
        if letter == "ʼ" and phones and phones[-1][0] in _VOWELS:
            continue
        if phones and (_is_modifier(letter) or phones[-1].endswith(_TIE)):
            phones[-1] += letter
        elif letter in {"ʲ", "ʷ"}:
            phones.append("j" if letter == "ʲ" else "w")
        elif not _is_modifier(letter):
            phones.append(letter)
    if len(phones) == 2 and phones[1] == "h" and phones[0][0] in _STOPS:
        phones = [phones[0] + _ASPIRATED]
    return [unicodedata.normalize("NFC", p) if p.startswith("c\u0327") else p for p in phones]


def _is_letter(letter: str) -> bool:
    """Whether it stands for a sound; marks of stress are letters to Unicode, but modifying ones."""
    return unicodedata.category(letter) in {"Ll", "Lo"}


def _is_modifier(letter: str) -> bool:
    return letter in _MODIFIERS or bool(unicodedata.combining(letter))


def _in_context(name: str, before: str, language: str) -> list[str]:
    """Phones of a name; a Cantonese stop that ends a syllable is not aspirated."""
    if language == "yue" and name in _CODAS and before[-1:] in _VOWELS:
        return [name]
    if name in {"ː", "ʲ"}:
        return [name]
    return list(phones_of(name, language))


def _joins(phones: list[str], before: list[str], language: str) -> bool:
    """Whether phones only modify the one before: length, palatalization, Korean aspiration."""
    last = before[-1]
    if not last:
        return False
    if phones == ["ː"]:
        return not last.endswith("ː")
    if phones == ["ʲ"]:
        return last[0] not in _VOWELS
    return language == "kor" and phones == ["h"] and last[0] in "ptk" and "\u0348" not in last


def _spread(names: Sequence[tuple[int, list[str]]], end: int) -> Timed:
    phones: list[str] = []
    times: list[int] = []
    for position, (begin, own) in enumerate(names):
        until = names[position + 1][0] if position + 1 < len(names) else end
        if until <= begin:
            continue
        if own == [SILENCE] == phones[-1:]:
            continue
        for part, phone in enumerate(own):
            phones.append({"ʲ": "j", "ː": SILENCE}.get(phone, phone))
            times.append(begin + (until - begin) * part // len(own))
    return Timed(tuple(phones), (*times, end) if phones else ())
