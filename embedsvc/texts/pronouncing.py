"""The phones of a typed text, by espeak-ng in a process of its own, when it is installed."""

import importlib
import subprocess
import sys
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
    """What espeak-ng says, a clause a line: names of phonemes parted by `_`."""
    library, data = _library()
    worker = str(Path(__file__).with_name("espeak_worker.py"))
    command = [sys.executable, "-I", "-S", worker, library, data, *dict.fromkeys(voices)]
    try:
        done = subprocess.run(  # no shell; the text comes by standard input
            command,
            input=" ".join(text.replace("\0", " ").split()).encode(),
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
    return done.stdout.decode(errors="ignore")


def _library() -> tuple[str, str]:
    """The library and the folder of its data: of the Python package, or else of the system."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError:
        return LIBRARY, ""
    return str(loader.get_library_path()), str(loader.get_data_path())
