"""N-gram models in the files of KenLM, through flashlight-text, which comes with it.

The extra `lm` installs it; it is imported when a model is loaded. A binary file is memory as KenLM
had it, which it believes: a damaged one can end the process that reads it. So a process of its own
reads each file first, and asks it for many words.
"""

import importlib.util
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from embedsvc.ctc.language_model import State
from embedsvc.ctc.lexicon import MOST_WORDS
from embedsvc.errors import FailedPrecondition

INSTALL = "pip install 'embedsvc[lm]'"

MOST_BYTES = 8 << 30
"""Of a model: what the largest published ones have, and a machine may have the memory for."""

UNKNOWN = "<unk>"
SPECIAL = frozenset({"<unk>", "<UNK>", "<s>", "</s>"})

_BINARY = b"mmap lm http://kheafield.com/code"
_COUNT = re.compile(r"ngram 1\s*=\s*(\d{1,12})\s*")
_LONGEST_LINE = 4096
_CHECKED = 50_000
"""Words that the other process asks for, one after the other and by themselves."""

_SECONDS = 1800


def installed() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("flashlight") is not None


class KenLm:
    """A model of words, by their places in `words`; those that it lacks are unknown to it."""

    def __init__(self, path: Path, words: Sequence[str]) -> None:
        """Raises FailedPrecondition for a file that KenLM does not read; see `checked`."""
        from flashlight.lib.text.decoder.kenlm import KenLM  # noqa: PLC0415 - an extra
        from flashlight.lib.text.dictionary import Dictionary  # noqa: PLC0415

        # A word that sounds in several ways is one word here.
        places = {word: place for place, word in enumerate(dict.fromkeys([*words, UNKNOWN]))}
        self._places = [places[word] for word in [*words, UNKNOWN]]
        try:
            self._model: Any = KenLM(str(path), Dictionary(list(places)))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise _damaged(path) from error

    def start(self, *, boundary: bool) -> State:
        """Before the first word; each search needs its own, as states keep what follows them."""
        return self._model.start(not boundary)

    def score(self, state: State, word: int) -> tuple[State, float]:
        """After one more word, and its log10 probability."""
        found: tuple[State, float] = self._model.score(state, self._places[word])
        return found

    def finish(self, state: State) -> float:
        """The log10 probability that a sentence ends."""
        return float(self._model.finish(state)[1])


def checked(path: Path, words: Sequence[str]) -> KenLm:
    """A model that another process has read without an end, from anyone.

    Raises FailedPrecondition for a file that is too large or damaged, or without the library.
    """
    if not installed():
        raise FailedPrecondition(
            f"`language_model` must have flashlight-text to be used: {INSTALL}",
            field="language_model",
        )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise FailedPrecondition(
            f"`language_model` must have at most {MOST_BYTES} bytes, but {path.name} has {size}",
            field="language_model",
        )
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "embedsvc.ctc.kenlm_check", str(path)],
            input="\n".join(islice(words, _CHECKED)).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join([_root(), *filter(None, sys.path)])},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _damaged(path) from error
    if done.returncode:
        raise _damaged(path)
    return KenLm(path, words)


def own_words(path: Path) -> tuple[str, ...] | None:
    """Words of a model, from its file; None of a binary that has them not.

    Raises FailedPrecondition for a file that is neither an ARPA file nor a binary.
    """
    with path.open("rb") as file:
        head = file.read(len(_BINARY))
    try:
        return _binary_words(path) if head == _BINARY else _arpa_words(path)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error


def _arpa_words(path: Path) -> tuple[str, ...]:
    """The middle column of the lines of 1-grams."""
    words: list[str] = []
    with path.open(encoding="utf-8") as file:
        count = next(
            (int(found[1]) for line in islice(file, 1000) if (found := _COUNT.fullmatch(line))), 0
        )
        if not 0 < count <= MOST_WORDS:
            raise ValueError(count)
        for line in file:
            if line.strip() == "\\1-grams:":
                break
        for line in islice(file, count):
            if len(line) > _LONGEST_LINE:
                raise ValueError(line[:80])
            words.append(line.split()[1] if len(line.split()) > 1 else UNKNOWN)
    return tuple(word for word in words if word not in SPECIAL)


def _binary_words(path: Path) -> tuple[str, ...] | None:
    """Words at the end of a binary, each with a zero byte behind it, `<unk>` first."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        place = data.rfind(f"{UNKNOWN}\0".encode())
        if place < 0 or data[len(data) - 1]:
            return None
        words = data[place:-1].decode().split("\0")
    if len(words) > MOST_WORDS:
        raise ValueError(len(words))
    return tuple(word for word in words if word not in SPECIAL)


def _root() -> str:
    return str(Path(__file__).resolve().parents[2])


def _damaged(path: Path) -> FailedPrecondition:
    return FailedPrecondition(
        f"`language_model` must be an ARPA file or a binary of KenLM, of two words or more, but "
        f"{path.name} is damaged, of another kind, or too large for the memory there is",
        field="language_model",
    )
