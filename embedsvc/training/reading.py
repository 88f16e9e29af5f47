"""Phones of a text that something else than espeak-ng says, as espeak-ng would read it."""

from embedsvc.training.espeak import Espeak, Voice, is_switched
from embedsvc.training.languages import language_of
from embedsvc.training.phones import timed

TOKI_PONA = Voice("art/eo")
"""Toki Pona is written with letters that sound as in Esperanto."""


def read(espeak: Espeak, language: str, text: str, name: str = "") -> tuple[str, ...]:
    """Phones that espeak-ng would say, () when it does not speak the language.

    `name` is the voice that reads, "" for the first of the language.
    """
    known = language_of(language)
    voice = TOKI_PONA if language == "tok" else Voice(name or known.voices[0]) if known else None
    if not text or voice is None:
        return ()
    spoken = espeak.speak(text, voice)
    if is_switched(spoken):
        return ()
    bare = language.partition("-")[0]
    return tuple(phone for phone in timed(spoken.phones, len(spoken.samples), bare).phones if phone)
