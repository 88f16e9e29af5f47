"""IPA cut into phones.

espeak-ng names its phonemes in IPA, but leaves ASCII of an older notation (Kirshenbaum 1993,
"Representing phonetics in ASCII") where nobody has given the IPA; both are read.
"""

# ruff: noqa: RUF001, RUF002  # IPA looks like other letters, and must

import unicodedata

ASPIRATED = "ʰ"
VOWELS = frozenset("aeiouyøæœɐɑɒɔəɘɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏ")

_TIE = "\u0361"
_LETTERS = {
    "g": "ɡ", "ε": "ɛ", "Φ": "ɸ", "ᵻ": "ɪ", "ʦ": "ts", "ʧ": "tʃ", "ʤ": "dʒ",
    "S": "ʃ", "Z": "ʒ", "N": "ŋ", "X": "χ", "A": "ɑ", "K": "ɬ", "?": "ʔ",
    "ⁿ": "n", "ᵑ": "ŋ", "ᵐ": "m", "`": "ʼ", "#": "\u0325", "^": "ʲ", "[": "\u032a", ":": "ː",
    "J": "ɟ", "L": "ʎ", "R": "ʀ", "D": "ð", "T": "θ", "I": "ɪ", "U": "ʊ", "E": "ɛ", "O": "ɔ",
}  # fmt: skip
_SPELLINGS = (
    ("_h", ASPIRATED), ('u"', "ʉ"), ("ts.", "ʈʂ"), ("dz.", "ɖʐ"), ("s.", "ʂ"), ("z.", "ʐ"),
    ("r.", "ɽ"), ("??", "ʔ"), ("t\u033b\u0361s\u032a", "ts"), ("d\u033b\u0361z\u032a", "dz"),
    ("t\u033b\u0361s", "ts"), ("d\u033b\u0361z", "dz"),
)  # fmt: skip
_AFFRICATES = ("ts", "dz", "tʃ", "dʒ", "tɕ", "dʑ", "ʈʂ", "ɖʐ", "tɬ")
_STOPS = frozenset("ptkbdɡqcɟʈɖsʃɕʂ")
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


def _cut_name(name: str) -> list[str]:
    for spelling, ipa in _SPELLINGS:
        name = name.replace(spelling, ipa)
    name = "".join(_LETTERS.get(letter, letter) for letter in name).replace(_TIE, "")
    for pair in _AFFRICATES:
        name = name.replace(pair, f"{pair[0]}{_TIE}{pair[1]}")
    letters = [letter for letter in name if _is_letter(letter) or _is_modifier(letter)]
    phones: list[str] = []
    for letter in letters:
        if letter == "ʼ" and phones and phones[-1][0] in VOWELS:
            continue
        if phones and (_is_modifier(letter) or phones[-1].endswith(_TIE)):
            phones[-1] += letter
        elif letter in {"ʲ", "ʷ"}:
            phones.append("j" if letter == "ʲ" else "w")
        elif not _is_modifier(letter):
            phones.append(letter)
    if len(phones) == 2 and phones[1] == "h" and phones[0][0] in _STOPS:
        phones = [phones[0] + ASPIRATED]
    return [unicodedata.normalize("NFC", p) if p.startswith("c\u0327") else p for p in phones]


def _is_letter(letter: str) -> bool:
    """Whether it stands for a sound; marks of stress are letters to Unicode, but modifying ones."""
    return unicodedata.category(letter) in {"Ll", "Lo"}


def _is_modifier(letter: str) -> bool:
    return letter in _MODIFIERS or bool(unicodedata.combining(letter))
