"""The phones of a typed text, by espeak-ng in a process of its own, when it is installed."""

import importlib
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from embedsvc.errors import FeatureDisabled, InvalidArgument, Unavailable
from embedsvc.languages import Language, find
from embedsvc.texts.espeak_worker import NO_LIBRARY, NO_VOICE
from embedsvc.texts.ipa import cut
from embedsvc.texts.matching import MAX_PHONES
from embedsvc.texts.timed import timed

LIBRARY = "libespeak-ng.so.1"
"""As Debian's package `espeak-ng` brings it."""

SECONDS = 10.0
"""That it may take; it takes some 50 ms."""

INSTALL = (
    "install `embedsvc[phones]` or the system's package `espeak-ng` where the server runs, or give "
    "`phones` in IPA"
)


_OTHER_LANGUAGE = re.compile(r"\([\w-]+\)")
"""Before and behind what the voice reads as another language."""


@dataclass(frozen=True)
class Said:
    """Phones of a text, and for each the number of its word, as espeak-ng parts words."""

    phones: tuple[str, ...] = ()
    words: tuple[int, ...] = ()


def said(texts: Sequence[str], language: str) -> list[Said]:
    """Each of `texts` as the voice of a language says it; nothing where it has none, or cannot.

    One process says all of them, and they may be long. Raises FeatureDisabled without espeak-ng.
    """
    try:
        known = find(language)
        names = _spoken(texts, known.code, (known.bcp47, known.code))
    except InvalidArgument:
        return [Said() for _ in texts]
    return [_said(each, known.code) for each in names]


def _said(names: str, code: str) -> Said:
    words = _OTHER_LANGUAGE.sub("", names).split()
    parted = [(at, name) for at, word in enumerate(words) for name in word.split("_") if name]
    named = [(place, name) for place, (_, name) in enumerate(parted)]
    found = timed(named, len(named), code)
    kept = [
        (phone, parted[place][0])
        for phone, place in zip(found.phones, found.times, strict=False)
        if phone
    ]
    return Said(tuple(phone for phone, _ in kept), tuple(word for _, word in kept))


def pronounced(text: str, language: str) -> tuple[str, ...]:
    """Phones of `text`, as the voice of espeak-ng for a language says it.

    They are what a head that was trained on such names tells apart. Raises InvalidArgument for a
    language without a voice and for a text that it cannot read, FeatureDisabled without espeak-ng.
    """
    known = _found(language)
    names = _names(text, known.code, (known.bcp47, known.code))
    if "(" in names:
        raise InvalidArgument(
            f"`text` must be one that espeak-ng can read as {known.code!r}, but it read a part of "
            "it as another language: give `phones`",
            field="text",
        )
    parted = [name for name in names.replace(" ", "_").replace("\n", "_").split("_") if name]
    phones = timed(list(enumerate(parted)), len(parted), known.code).phones
    return checked(tuple(phone for phone in phones if phone), "text")


def _found(language: str) -> Language:
    try:
        return find(language)
    except InvalidArgument as error:
        raise InvalidArgument(
            f"`language_code` must be a language of ISO 639 or BCP 47, but is {language[:100]!r}",
            field="language_code",
        ) from error


def spelled(phones: str) -> tuple[str, ...]:
    """Phones that a caller writes in IPA, with or without spaces; raises InvalidArgument."""
    return checked(cut(phones), "phones")


def checked(phones: tuple[str, ...], field: str) -> tuple[str, ...]:
    """The same; raises InvalidArgument for none or too many."""
    if not 1 <= len(phones) <= MAX_PHONES:
        raise InvalidArgument(
            f"`{field}` must be 1 to {MAX_PHONES} phones, but is {len(phones)}",
            field=field,
            limit_phones=MAX_PHONES,
        )
    return phones


@lru_cache(maxsize=1_024)
def _names(text: str, code: str, voices: tuple[str, ...]) -> str:
    """As `_spoken`, of one text."""
    return _spoken((text,), code, voices)[0]


def _spoken(texts: Sequence[str], code: str, voices: tuple[str, ...]) -> list[str]:
    """What espeak-ng says of each, a clause a line: names of phonemes parted by `_`."""
    library, data = _library()
    worker = str(Path(__file__).with_name("espeak_worker.py"))
    command = [sys.executable, "-I", "-S", worker, library, data, *dict.fromkeys(voices)]
    try:
        done = subprocess.run(  # no shell; the text comes by standard input
            command,
            input="\0".join(" ".join(text.replace("\0", " ").split()) for text in texts).encode(),
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env={},
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"espeak-ng must answer within {SECONDS:g} s, but did not") from error
    if done.returncode == NO_LIBRARY:
        raise FeatureDisabled(f"phones of a text need espeak-ng, which is not found: {INSTALL}")
    if done.returncode == NO_VOICE:
        raise InvalidArgument(
            f"`language_code` must be one that espeak-ng speaks, but is {code!r}: give `phones`",
            field="language_code",
        )
    if done.returncode:
        raise InvalidArgument(
            "`text` must be one that espeak-ng can read, but it failed: give `phones`", field="text"
        )
    return done.stdout.decode(errors="ignore").split("\0")[: len(texts)]


def _library() -> tuple[str, str]:
    """The library and the folder of its data: of the Python package, or else of the system."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError:
        return LIBRARY, ""
    return str(loader.get_library_path()), str(loader.get_data_path())
