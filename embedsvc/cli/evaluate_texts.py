"""Phones of what people read aloud, from espeak-ng: what a phone head should have heard."""

import multiprocessing
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedsvc.evaluation.speech import Row

Phones = tuple[str, ...]


def fault() -> str:
    """Why there are no phones to be had, or nothing."""
    from embedsvc.errors import FailedPrecondition
    from embedsvc.training.espeak import version

    try:
        version()
    except FailedPrecondition as error:
        return str(error)
    return ""


def spell(rows: "Sequence[Row]") -> "Mapping[Row, Phones]":
    """Phones of the transcripts whose language espeak-ng speaks.

    Each language has a process of its own, since the library can take its process down.
    """
    by_language = defaultdict(list)
    for row in rows:
        by_language[row.language].append(row)
    found: dict[Row, Phones] = {}
    for code, mine in by_language.items():
        texts = tuple(row.transcript for row in mine)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            try:
                phones = process.submit(phones_of, code, texts).result()
            except BrokenProcessPool:
                continue
        found.update(pair for pair in zip(mine, phones, strict=True) if pair[1])
    return found


def phones_of(code: str, texts: Sequence[str]) -> list[Phones]:
    """Phones of each text in a language; none where it is not spoken, or is read as another."""
    from embedsvc.training.espeak import Espeak, Voice, is_switched
    from embedsvc.training.languages import language_of
    from embedsvc.training.phones import timed

    language, espeak = language_of(code), Espeak()
    if language is None or not espeak.has(Voice(language.voices[0])):
        return [()] * len(texts)
    result: list[Phones] = []
    for text in texts:
        spoken = espeak.speak(text, Voice(language.voices[0]))
        names = timed(spoken.phones, len(spoken.samples), language.code)
        phones = tuple(phone for phone in names.phones if phone)
        result.append(() if is_switched(spoken) else phones)
    return result
