"""N-gram models in the files of KenLM, through flashlight-text, which comes with it.

The extra `lm` installs it; it is imported when a model is loaded.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embedsvc.ctc.language_model import State
from embedsvc.errors import FailedPrecondition

LIBRARY = "flashlight.lib.text.decoder.kenlm"
EXTRA = "lm"

UNKNOWN = "<unk>"


def installed() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("flashlight") is not None


class KenLm:
    """A model of words, by their places in `words`; those that it lacks are unknown to it."""

    def __init__(self, path: Path, words: Sequence[str]) -> None:
        """Raises FailedPrecondition for a file that KenLM does not read."""
        from flashlight.lib.text.decoder.kenlm import KenLM  # noqa: PLC0415 - an extra
        from flashlight.lib.text.dictionary import Dictionary  # noqa: PLC0415

        # A word that sounds in several ways is one word here.
        places = {word: place for place, word in enumerate(dict.fromkeys([*words, UNKNOWN]))}
        self._places = [places[word] for word in [*words, UNKNOWN]]
        try:
            self._model: Any = KenLM(str(path), Dictionary(list(places)))
        except (RuntimeError, UnicodeError, MemoryError) as error:
            raise FailedPrecondition(
                f"`language_model` must be an ARPA file or a binary of KenLM, but {path.name} is "
                "damaged, of another kind, or too large",
                field="language_model",
            ) from error

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
