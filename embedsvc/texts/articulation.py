"""How far apart two phones are, by how they are made.

A phone is where, how and with or without voice a consonant is made, or how high, how far back and
how rounded a vowel is, as the chart of the International Phonetic Association arranges them. The
weights are chosen so that a change of voice costs less than one of manner, and nothing more than
hearing another phone altogether, which costs 1. Half of that is for being another phone at all:
costs that begin at 0 find less, as do those that are 1 for any other phone.
"""

# ruff: noqa: RUF001  # IPA looks like other letters, and must

from functools import cache

_PLACES = {
    "p": 0, "b": 0, "m": 0, "ɸ": 0, "β": 0, "ʙ": 0, "ⱱ": 1, "f": 1, "v": 1, "ɱ": 1, "ʋ": 1,
    "θ": 2, "ð": 2, "t": 3, "d": 3, "s": 3, "z": 3, "n": 3, "l": 3, "r": 3, "ɾ": 3, "ɹ": 3,
    "ɬ": 3, "ɮ": 3, "ɫ": 3.5, "ɺ": 3, "ʃ": 4, "ʒ": 4, "ɧ": 4, "ʈ": 4.5, "ɖ": 4.5, "ʂ": 4.5,
    "ʐ": 4.5, "ɳ": 4.5, "ɭ": 4.5, "ɽ": 4.5, "ɻ": 4.5, "ɕ": 4.8, "ʑ": 4.8, "c": 6, "ɟ": 6,
    "ç": 6, "ʝ": 6, "ɲ": 6, "ʎ": 6, "j": 6, "k": 7, "ɡ": 7, "x": 7, "ɣ": 7, "ŋ": 7, "ɰ": 7,
    "w": 7, "ɥ": 6, "q": 8, "ɢ": 8, "χ": 8, "ʁ": 8, "ɴ": 8, "ʀ": 8, "ħ": 9, "ʕ": 9, "ʔ": 10,
    "h": 10, "ɦ": 10,
}  # fmt: skip
_MANNERS = {
    "stop": "pbtdʈɖcɟkɡqɢʔ",
    "fricative": "ɸβfvθðszʃʒʂʐɕʑçʝxɣχħʕhɦɬɮɧ",
    "approximant": "ʋɹɻjɰwɥ",
    "lateral": "lɭʎɫ",
    "trill": "ʙrʀɾɽɺʁⱱ",
    "nasal": "mɱnɳɲŋɴ",
}
_VOICED = frozenset("bdɖɟɡɢβvðzʒʐʑʝɣʁʕɦɮmɱnɳɲŋɴʋɹɻjɰwɥlɭʎɫʙrʀɾɽɺⱱ")
_VOWELS = {
    "i": (0, 0, 0), "y": (0, 0, 1), "ɨ": (0, 1, 0), "ʉ": (0, 1, 1), "ɯ": (0, 2, 0),
    "u": (0, 2, 1), "ɪ": (1, 0.4, 0), "ʏ": (1, 0.4, 1), "ʊ": (1, 1.6, 1), "e": (2, 0, 0),
    "ø": (2, 0, 1), "ɘ": (2, 1, 0), "ɵ": (2, 1, 1), "ɤ": (2, 2, 0), "o": (2, 2, 1),
    "ə": (3, 1, 0), "ɚ": (3, 1, 0), "ɛ": (4, 0, 0), "œ": (4, 0, 1), "ɜ": (4, 1, 0),
    "ɝ": (4, 1, 0), "ɞ": (4, 1, 1), "ʌ": (4, 2, 0), "ɔ": (4, 2, 1), "æ": (5, 0, 0),
    "ɐ": (5, 1, 0), "a": (6, 0.5, 0), "ɶ": (6, 0, 1), "ɑ": (6, 2, 0), "ɒ": (6, 2, 1),
}  # fmt: skip
_MANNER_COSTS = {
    frozenset({"stop", "affricate"}): 0.3,
    frozenset({"fricative", "affricate"}): 0.3,
    frozenset({"stop", "fricative"}): 0.45,
    frozenset({"trill", "approximant"}): 0.3,
    frozenset({"lateral", "approximant"}): 0.3,
    frozenset({"lateral", "trill"}): 0.35,
    frozenset({"fricative", "approximant"}): 0.4,
    frozenset({"fricative", "trill"}): 0.4,
}
_OTHER_MANNER = 0.6
_VOICE, _PLACE, _MOST_PLACE = 0.15, 0.1, 0.4
_HEIGHT, _BACK, _ROUND = 0.09, 0.14, 0.08
_MODIFIER, _MOST_MODIFIERS = 0.08, 0.24
_GLIDES = (frozenset("iɪj"), frozenset("uʊwʋ"), frozenset("yʏɥ"))
_GLIDE = 0.4
_OTHER = 0.5
_TIE = "\u0361"


@cache
def distance(left: str, right: str) -> float:
    """From 0, for the same phone, to 1 for two that have nothing in common.

    >>> distance("t", "t"), distance("t", "d") < distance("t", "m"), distance("t", "a")
    (0.0, True, 1.0)
    """
    if left == right:
        return 0.0
    more = len(_modifiers(left) ^ _modifiers(right))
    apart = _apart(left, right) + min(_MOST_MODIFIERS, _MODIFIER * more)
    return _OTHER + (1 - _OTHER) * min(1.0, apart)


def _apart(left: str, right: str) -> float:
    one, other = left[:1], right[:1]
    if one in _VOWELS and other in _VOWELS:
        high, back, rounded = _VOWELS[one]
        other_high, other_back, other_rounded = _VOWELS[other]
        return (
            _HEIGHT * abs(high - other_high)
            + _BACK * abs(back - other_back)
            + _ROUND * abs(rounded - other_rounded)
        )
    if one in _PLACES and other in _PLACES:
        return _between_consonants(left, right)
    if any(one in glide and other in glide for glide in _GLIDES):
        return _GLIDE
    return 0.0 if one == other else 1.0


def _between_consonants(left: str, right: str) -> float:
    place = min(_MOST_PLACE, _PLACE * abs(_place(left) - _place(right)))
    voice = _VOICE * ((left[0] in _VOICED) != (right[0] in _VOICED))
    manners = frozenset({_manner(left), _manner(right)})
    manner = 0.0 if len(manners) == 1 else _MANNER_COSTS.get(manners, _OTHER_MANNER)
    return place + voice + manner


def _place(phone: str) -> float:
    """Of an affricate, that of its end."""
    last = phone[phone.index(_TIE) + 1] if _TIE in phone[:-1] else phone[0]
    return _PLACES.get(last, _PLACES[phone[0]])


def _manner(phone: str) -> str:
    if _TIE in phone[:-1]:
        return "affricate"
    return next((name for name, letters in _MANNERS.items() if phone[0] in letters), "")


def _modifiers(phone: str) -> frozenset[str]:
    rest = phone[3:] if _TIE in phone[1:2] else phone[1:]
    return frozenset(rest)
