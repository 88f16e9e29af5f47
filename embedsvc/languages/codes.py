"""Codes of languages as they are met, and the one that each is filed under.

Understood are ISO 639-1, 639-2 (both kinds) and 639-3, retired codes, BCP 47 with scripts, regions,
variants and extended languages, and names of POSIX locales. Regions and scripts say nothing of
which language is spoken: `zh-HK` is Mandarin as `zh` is, and Cantonese is `yue` or `zh-yue`.
"""

import re
from functools import cache

from embedsvc.errors import InvalidArgument
from embedsvc.languages.table import Language, languages

_SHAPE = re.compile(r"[a-z]{1,8}(-[a-z0-9]{1,8})*")
_EXTENDED = re.compile(r"[a-z]{3}")
_GRANDFATHERED = {
    "art-lojban": "jbo",
    "i-hak": "hak",
    "i-lux": "ltz",
    "no-bok": "nob",
    "no-nyn": "nno",
    "zh-guoyu": "cmn",
    "zh-hakka": "hak",
}
"""Tags registered before RFC 4646 whose parts do not say what they mean, in our languages."""


def normalize(text: str) -> str:
    """The ISO 639-3 code that a code or tag is filed under.

    Raises `InvalidArgument` for one that is malformed, or of a language that has no row.

    >>> normalize("iw"), normalize("ger"), normalize("pt-BR"), normalize("arb"), normalize("zh")
    ('heb', 'deu', 'por', 'ara', 'cmn')
    """
    return find(text).code


def find(text: str) -> Language:
    """The language of a code or tag; raises like `normalize`."""
    tag = _plain(text)
    if not _SHAPE.fullmatch(tag):
        raise InvalidArgument(
            f"`language` must be a code of ISO 639 or a tag of BCP 47, but is {text!r}",
            field="language",
        )
    known = _by_code()
    for code in _candidates(tag):
        if code in known:
            return known[code]
    raise InvalidArgument(
        f"`language` must be one of the table of languages, but is {text!r}", field="language"
    )


def _plain(text: str) -> str:
    """A tag in small letters: what POSIX says of encodings and modifiers is dropped."""
    return re.split(r"[.@]", text.strip(), maxsplit=1)[0].replace("_", "-").lower()


def _candidates(tag: str) -> list[str]:
    """Codes to look for, the most specific first."""
    if tag in _GRANDFATHERED:
        return [_GRANDFATHERED[tag]]
    first, *rest = tag.split("-")
    # RFC 5646, 2.2.2: three letters right after the language are a language of their own.
    if rest and _EXTENDED.fullmatch(rest[0]) and rest[0] in _by_code():
        return [rest[0]]
    return [first]


@cache
def _by_code() -> dict[str, Language]:
    known = {}
    for language in languages():
        for code in (language.code, language.bcp47, *language.also):
            known[code] = language
    return known
