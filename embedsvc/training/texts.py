"""What is said: lines of four collections of texts, those to evaluate on kept apart.

Kept to evaluate on are the last lines of NTREX-128 (Federmann, Kocmi and Xin 2022), and a tenth of
the sentence pairs of Tatoeba, of the verses of the Bible and of the paragraphs of the Universal
Declaration of Human Rights. What is kept in one language is kept in all.
"""

# ruff: noqa: RUF001  # punctuation of many languages looks like other letters, and must

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedsvc.errors import FailedPrecondition
from embedsvc.training.languages import PIVOT, Language, languages

NTREX_LINES = 1_400
"""Lines of NTREX-128 that may be trained on, counted from 0."""

TENTH = 10
LEAST_LETTERS = 8
"""A paragraph of fewer is a number or a heading."""

FOLDERS = ("ntrex128", "tatoeba", "udhr", "bible")


@dataclass(frozen=True)
class Line:
    """A line of text; those of one `group` say the same, and one without is on its own."""

    text: str
    group: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Texts:
    """The lines of a language: to train on, and kept to evaluate on."""

    training: tuple[Line, ...]
    evaluation: tuple[Line, ...]


def read(folder: Path, language: Language) -> Texts:
    """Lines of a language; raises `FailedPrecondition` when a file of it is missing."""
    lines = list(dict.fromkeys(_lines(folder, language)))
    kept = tuple(line for line in lines if line.kept)
    said = {normal(line.text) for line in kept}
    training = (line for line in lines if not line.kept and normal(line.text) not in said)
    return Texts(tuple(training), kept)


def require(folder: Path) -> None:
    """Raise `FailedPrecondition` unless `folder` holds the four collections."""
    for name in FOLDERS:
        if not (folder / name).is_dir():
            raise FailedPrecondition(
                f"`TEXT_DIR` must hold {', '.join(FOLDERS)}, but {folder / name} is not a folder",
                field="TEXT_DIR",
            )


def normal(text: str) -> str:
    """Text by which two sentences are the same.

    >>> normal(" I have  two cats. ")
    'i have two cats'
    """
    return " ".join(text.lower().split()).strip(" .!?…。！？\"“”«»„'")


def _lines(folder: Path, language: Language) -> Iterator[Line]:
    if language.ntrex:
        yield from _ntrex(folder / "ntrex128" / f"{language.ntrex}.txt")
    if language.code == PIVOT:
        for code in sorted({each.tatoeba for each in languages()} - {"", PIVOT}):
            yield from _tatoeba(folder / "tatoeba", code, PIVOT)
    elif language.tatoeba:
        yield from _tatoeba(folder / "tatoeba", language.tatoeba, language.tatoeba)
    if language.udhr:
        yield from _udhr(folder / "udhr" / f"{language.udhr}.tsv")
    if language.bible:
        yield from _bible(folder / "bible" / f"{language.bible}.tsv")


def _ntrex(path: Path) -> Iterator[Line]:
    for number, text in enumerate(_read(path)):
        if text:
            yield Line(text, f"ntrex:{number}", number >= NTREX_LINES)


def _tatoeba(folder: Path, code: str, side: str) -> Iterator[Line]:
    pair = f"tatoeba.{code}-{PIVOT}"
    own, english = _read(folder / f"{pair}.{side}"), _read(folder / f"{pair}.{PIVOT}")
    for text, meaning in zip(own, english, strict=True):
        if text and meaning:
            yield Line(text, f"tatoeba:{normal(meaning)}", _is_tenth(normal(meaning)))


def _udhr(path: Path) -> Iterator[Line]:
    for number, (_, text) in enumerate(_rows(path)):
        if len(text) > LEAST_LETTERS:
            yield Line(text, "", number % TENTH == TENTH - 1)


def _bible(path: Path) -> Iterator[Line]:
    for name, text in _rows(path):
        verse = name.removeprefix("b.")
        yield Line(text, f"bible:{verse}", _is_tenth(verse))


def _is_tenth(key: str) -> bool:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % TENTH == 0


def _read(path: Path) -> Sequence[str]:
    if not path.is_file():
        raise FailedPrecondition(
            f"`TEXT_DIR` must have the text of each language, but has no {path}", field="TEXT_DIR"
        )
    return [" ".join(line.split()) for line in path.read_text(encoding="utf-8").split("\n")]


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        _read(path)
    for line in path.read_text(encoding="utf-8").split("\n"):
        name, tab, text = line.partition("\t")
        if tab and text.strip():
            yield name, " ".join(text.split())
