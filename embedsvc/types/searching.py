"""What a search asks and answers."""

import math
from dataclasses import dataclass
from enum import StrEnum

from embedsvc.types.audio import Span
from embedsvc.types.collections import Metadata


class MomentMethod(StrEnum):
    """How the moment that matched is found.

    `ALIGNMENT` wants the whole query in order, `LOCAL` any part of it, `MAX_SIM` each of its codes
    in any order.
    """

    ALIGNMENT = "alignment"
    LOCAL = "local"
    MAX_SIM = "max_sim"


@dataclass(frozen=True)
class MomentSearch:
    """A look at frames: everywhere, or only in so many of the nearest segments.

    Hits of a moment score under `min_score` are left out.
    """

    method: MomentMethod = MomentMethod.ALIGNMENT
    candidates: int | None = None
    min_score: float | None = None


@dataclass(frozen=True)
class LanguageGuess:
    """A language that a vector may be in, by the collection's transform."""

    language: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """What a hit is like before the collection's transform: cosine with the query, languages."""

    stored_cosine: float
    languages: tuple[LanguageGuess, ...]


@dataclass(frozen=True)
class Limit:
    """At most `count` hits with the same value of the metadata field `field`.

    Recordings without the field are limited together.
    """

    field: str
    count: int


@dataclass(frozen=True)
class Hit:
    """One segment found, or the moment in it that matched; a higher score is nearer.

    Of a moment, `span` is where it is, `query_span` what of the query it is like, and
    `moment_score` the mean cosine of the codes that met, or, with a local alignment, the mean over
    the query of what they are above 0.2. `segment` is that it was found in, and None if all was
    looked through.
    """

    id: str
    score: float
    span: Span
    metadata: Metadata
    query_span: Span | None = None
    moment_score: float | None = None
    segment: Span | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Place:
    """A segment of a recording."""

    id: str
    span: Span
    metadata: Metadata


@dataclass(frozen=True)
class Pair:
    """Two segments that belong together.

    `margin` is their cosine over the mean of that to the nearest of either; 0 where nobody asked.
    """

    left: Place
    right: Place
    margin: float
    cosine: float


@dataclass(frozen=True)
class Found:
    """The answer to a search: `scanned` segments were scored, `exact` when all allowed were."""

    hits: tuple[Hit, ...]
    sequence: int
    exact: bool
    scanned: int
    scanned_codes: int = 0
    query_languages: tuple[LanguageGuess, ...] = ()


class TextMatch(StrEnum):
    """How typed text is compared with what is stored: as words, by its phones, or both."""

    WORDS = "words"
    PHONES = "phones"
    BOTH = "both"


@dataclass(frozen=True)
class TextScores:
    """What a hit scored in each ranking that it is in.

    `words` is BM25, above 0; `phones` and `audio` are at most 1.
    """

    words: float | None = None
    phones: float | None = None
    audio: float | None = None


@dataclass(frozen=True)
class TextHit:
    """Where in a recording the text is; a higher score is nearer.

    `text` is what matched as it is stored, by `head`; both are empty where only the sound matched.
    """

    id: str
    score: float
    span: Span
    metadata: Metadata
    text: str = ""
    head: str = ""
    confidence: float = math.nan
    scores: TextScores = TextScores()
