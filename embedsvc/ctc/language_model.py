"""What is known of a language beside what a head hears: its words, and which follow which."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from embedsvc.ctc.lexicon import Lexicon

LN_10 = math.log(10)
"""Files of language models have logarithms to the base of 10, everything else natural ones."""

WEIGHT, BONUS, UNKNOWN = 0.5, 1.5, -10.0
"""What `attrs.json` means where it does not say: the defaults of those who write such folders."""

State = Any
"""What a scorer knows of the words so far."""


class Scorer(Protocol):
    """An n-gram model of the words of a lexicon, by their numbers; scores are log10.

    One number beyond the last word is any word that is none of them.
    """

    def start(self, *, boundary: bool) -> State:
        """Before the first word: of a sentence, or anywhere. Not to be shared by threads."""
        ...

    def score(self, state: State, word: int) -> tuple[State, float]:
        """After one more word, and what that scores."""
        ...

    def finish(self, state: State) -> float:
        """What the end of a sentence scores."""
        ...


class Parting(StrEnum):
    """What parts the words of a head."""

    SPACE = "space"
    """A label of its own."""

    LABEL = "label"
    """Nothing: each label is a word, as in writing without spaces."""

    SOUND = "sound"
    """A list of words by the phones that they are said with."""


@dataclass(frozen=True)
class LanguageModel:
    """Words, how likely one is after others, and how much that weighs beside what is heard.

    A word adds `weight` * ln(10) * (its log10 score) + `bonus` to the score of a text; to one
    that is not in the lexicon, `unknown` is added in log10, and its beginning is held back by as
    many nats. With `boundary`, texts begin and end as sentences do. `closed` allows no other words
    than those of the lexicon. `scorer` is None where only words are known.
    """

    lexicon: Lexicon
    parting: Parting
    scorer: Scorer | None = None
    weight: float = WEIGHT
    bonus: float = BONUS
    unknown: float = UNKNOWN
    boundary: bool = True
    closed: bool = False
