"""Texts of three languages in the layout of the four collections, and a run on a toy corpus."""

import ctypes
from pathlib import Path

import pytest

from embedsvc.training import held_out, prepare, texts
from embedsvc.training.espeak import LIBRARY
from embedsvc.training.languages import Language
from embedsvc.training.trainer import Limits, train
from tests.training.toy import ignore, recipe, write_sounds

LANGUAGES = (
    Language("deu", ("gmw/de",), ntrex="deu", tatoeba="deu", udhr="deu"),
    Language("eng", ("gmw/en", "gmw/en-US"), ntrex="eng-US", tatoeba="eng", udhr="eng"),
    Language("swa", ("bnt/sw",), ntrex="swa", bible="Swahili-NT"),
)
WORDS = {
    "deu": ("Haus", "Wasser", "gestern", "trinken", "Vogel", "immer", "lachen", "Straße"),
    "eng": ("house", "water", "yesterday", "drinking", "bird", "always", "laughing", "street"),
    "swa": ("nyumba", "maji", "jana", "kunywa", "ndege", "daima", "kucheka", "barabara"),
}


@pytest.fixture
def text_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The texts of three languages, which are all that there are."""
    for module in (texts, prepare, held_out):
        monkeypatch.setattr(module, "languages", lambda: LANGUAGES)
    return write(tmp_path / "texts")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phones that sound different, in clips of two languages, some of people."""
    folder = tmp_path_factory.mktemp("sounds")
    write_sounds(folder)
    return folder


@pytest.fixture(scope="session")
def trained(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine steps."""
    out = tmp_path_factory.mktemp("trained") / "run"
    train(sounds, out, recipe(9), Limits(), ignore)
    return out


@pytest.fixture
def needs_espeak() -> None:
    """Skips a test where espeak-ng is not installed."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        pytest.skip("espeak-ng is not installed")


def sentence(language: str, number: int) -> str:
    """The same few words for the same number in each language, and no two alike."""
    words = WORDS[language]
    digits = [number // 8**place % 8 for place in range(4)]
    return " ".join(words[digit] for digit in digits) + f" {words[number % 7]}."


def write(folder: Path) -> Path:
    """The texts, NTREX-128 with its 1,609 lines."""
    for name in ("ntrex128", "tatoeba", "udhr", "bible"):
        (folder / name).mkdir(parents=True)
    for language in LANGUAGES:
        lines = [sentence(language.code, number) for number in range(1_609)]
        _write(folder / "ntrex128" / f"{language.ntrex}.txt", lines)
    for code in ("deu", "eng"):
        lines = [sentence(code, number) for number in range(2_000, 2_200)]
        _write(folder / "tatoeba" / f"tatoeba.deu-eng.{code}", lines)
        rows = [f"p.{number}\t{sentence(code, 2_300 + number)}" for number in range(40)]
        _write(folder / "udhr" / f"{code}.tsv", rows)
    verses = [f"b.MAR.1.{number}\t{sentence('swa', 2_400 + number)}" for number in range(100)]
    _write(folder / "bible" / "Swahili-NT.tsv", verses)
    return folder


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
