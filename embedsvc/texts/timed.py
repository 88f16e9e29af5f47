"""Phones out of the names that espeak-ng gives its phonemes, and when each begins."""

# ruff: noqa: RUF001  # IPA looks like other letters, and must

from collections.abc import Sequence
from dataclasses import dataclass

from embedsvc.texts.ipa import ASPIRATED, VOWELS, phones_of

SILENCE = ""

_CODAS = frozenset("ptk")


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
            cut_names[-1][1][-1] += ASPIRATED if phones == ["h"] else phones[0]
            continue
        cut_names.append((time, phones or [SILENCE]))
    return _spread(cut_names, end)


def _in_context(name: str, before: str, language: str) -> list[str]:
    """Phones of a name; a Cantonese stop that ends a syllable is not aspirated."""
    if language == "yue" and name in _CODAS and before[-1:] in VOWELS:
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
        return last[0] not in VOWELS
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
