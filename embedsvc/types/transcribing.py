"""What is asked of a CTC head, and what it writes down."""

from dataclasses import dataclass, field
from enum import StrEnum

from embedsvc.types.audio import Span


class HeadKind(StrEnum):
    """What the labels of a head are."""

    TEXT = "text"
    PHONES = "phones"


@dataclass(frozen=True)
class Vocabulary:
    """The labels of a CTC head in the order of its outputs.

    `blank` is the place of the blank. `space` is the place of the label that parts words, None
    where there is none and every label of phones is a word of its own kind. `silent` are places
    that are not written, such as padding and the ends of sentences. `unknown` is written as
    U+FFFD.
    """

    labels: tuple[str, ...]
    blank: int
    space: int | None = None
    silent: frozenset[int] = frozenset()
    unknown: int | None = None


@dataclass(frozen=True)
class HotWord:
    """A word or phrase that is likelier here than elsewhere; `boost` in nats a token."""

    text: str
    boost: float = 2.0


@dataclass(frozen=True)
class DecodeOptions:
    """How text is found: greedily with a `beam` of 1, else by prefix beam search.

    Hot words, and more than one of the `texts`, are searched for in any case. `texts` is how many
    of the likeliest texts are told, `alternatives` how many other labels of each token. A search
    uses the language model of the head, with `lm_weight` and `word_bonus` in place of its own,
    or goes on `without_language_model`.
    """

    beam: int = 1
    texts: int = 1
    alternatives: int = 0
    hot_words: tuple[HotWord, ...] = ()
    lm_weight: float | None = None
    word_bonus: float | None = None
    without_language_model: bool = False


@dataclass(frozen=True)
class TokenAlternative:
    """Another label that a token might have been."""

    text: str
    probability: float


@dataclass(frozen=True)
class Token:
    """One label that was written, and when.

    `log_prob` is the raw mean log-probability of the label over its frames, `entropy` the mean
    normalized entropy there (0 is sure, 1 is any label). `confidence` is from 0 to 1; of a
    calibrated head it is the share of such tokens that are right.
    """

    text: str
    span: Span
    confidence: float
    log_prob: float
    entropy: float
    alternatives: tuple[TokenAlternative, ...] = ()


@dataclass(frozen=True)
class Word:
    """Tokens between spaces.

    Of a head whose words are calibrated `confidence` is the share of such words that are right,
    else the geometric mean of that of its tokens.
    """

    text: str
    span: Span
    confidence: float
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A text that may have been said, and the logarithm of how likely it is, LM and all."""

    text: str
    score: float


@dataclass(frozen=True)
class TranscriptSegment:
    """A stretch of speech and its text.

    `method` names how confidence was computed, such as `entropy/v1`, `probability+isotonic/v1` or,
    of a known text, `alignment/v1`. `others` are texts that are less likely, the likeliest first.
    """

    text: str
    span: Span
    confidence: float
    method: str
    words: tuple[Word, ...]
    others: tuple[Hypothesis, ...] = ()


@dataclass(frozen=True)
class LanguageModelInfo:
    """What a head knows of words: a language model, a list of words, or both.

    `closed` allows no other words than its own. `weight` and `word_bonus` are what a search uses
    unless it is told otherwise. `missing` is what the server lacks to use it, "" when it does.
    """

    name: str
    words: int = 0
    closed: bool = False
    weight: float = 0.0
    word_bonus: float = 0.0
    missing: str = ""


@dataclass(frozen=True)
class HeadInfo:
    """A head as it is listed: `languages` are ISO 639-3 codes, empty for any.

    A label of its lasts for `frame_seconds`. `calibration` names the method of its confidence,
    `model` the checkpoint whose states it reads.
    """

    name: str
    kind: HeadKind
    languages: tuple[str, ...]
    labels: int
    frame_seconds: float
    calibration: str
    license: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    language_model: LanguageModelInfo | None = None
    model: str = ""


class StreamMode(StrEnum):
    """How a live stream is heard while it goes on.

    `RECOMPUTE` hears what waits for the end of its stretch from the start, again and again, and
    `LOOKAHEAD` each moment once, with what is around it.
    """

    RECOMPUTE = "recompute"
    LOOKAHEAD = "lookahead"


class SpeechEventKind(StrEnum):
    """What happened in a live stream."""

    BEGAN = "began"
    ENDED = "ended"
