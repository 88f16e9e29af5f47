"""A transcript with times and confidence, from the log-probabilities of a head.

Letters: T frames, V labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from embedsvc.ctc.alignment import align
from embedsvc.ctc.beam import MOST_WIDTH, Candidate, beam
from embedsvc.ctc.calibration import Calibration
from embedsvc.ctc.confidence import (
    ConfidenceMeasure,
    certainty,
    cooled,
    frame_confidence,
    geometric_mean,
    spread,
)
from embedsvc.ctc.runs import Doubles, Run, greedy
from embedsvc.ctc.vocabulary import check, encode, is_written, text, text_of
from embedsvc.timing import FRAME
from embedsvc.types import (
    DecodeOptions,
    Floats,
    Hypothesis,
    Span,
    Token,
    TokenAlternative,
    TranscriptSegment,
    Vocabulary,
    Word,
)

RAW = Calibration()


@dataclass(frozen=True)
class _Heard:
    """What the frames of one stretch say, and how to write it down."""

    log_probs: Doubles
    cooled: Doubles
    vocabulary: Vocabulary
    calibration: Calibration
    alternatives: int
    frame: int
    start: int

    def span(self, first: int, end: int) -> Span:
        return Span(self.start + first * self.frame, self.start + end * self.frame)


def transcribe(
    log_probs: Floats,
    vocabulary: Vocabulary,
    options: DecodeOptions | None = None,
    *,
    frame: int = FRAME,
    start: int = 0,
    calibration: Calibration = RAW,
) -> TranscriptSegment:
    """What log-probabilities (T, V) say, with times and confidence.

    `frame` is how many samples a frame lasts, `start` the sample of the first one. Raises
    TensorShape if the log-probabilities are not of the vocabulary.
    """
    options = options or DecodeOptions()
    check(log_probs, vocabulary)
    exact = log_probs.astype(np.float64)
    cool = cooled(exact, calibration.temperature)
    heard = _Heard(exact, cool, vocabulary, calibration, options.alternatives, frame, start)
    if not _searched(options):
        return _segment(heard, greedy(log_probs, vocabulary.blank), ())
    found = beam(log_probs, vocabulary, options.beam, options.hot_words, _followed(options))
    texts = _texts(found, vocabulary)[: options.texts]
    runs = align(log_probs, found[0].labels, vocabulary.blank).runs
    return _segment(heard, runs, texts[1:])


def align_text(
    said: str,
    log_probs: Floats,
    vocabulary: Vocabulary,
    *,
    frame: int = FRAME,
    start: int = 0,
    calibration: Calibration = RAW,
) -> TranscriptSegment:
    """When each word of a known text is said in log-probabilities (T, V), and how likely it is.

    Letters are written as the vocabulary has them. Raises InvalidArgument if it lacks one, or if
    the text does not fit into the frames, and TensorShape as `transcribe` does.
    """
    check(log_probs, vocabulary)
    runs = align(log_probs, encode(said, vocabulary), vocabulary.blank).runs
    exact = log_probs.astype(np.float64)
    cool = cooled(exact, calibration.temperature)
    return _segment(_Heard(exact, cool, vocabulary, calibration, 0, frame, start), runs, ())


def _searched(options: DecodeOptions) -> bool:
    return options.beam != 1 or options.texts > 1 or bool(options.hot_words)


def _followed(options: DecodeOptions) -> int:
    """How many label sequences to ask for, as several may be written alike."""
    return max(options.texts, min(MOST_WIDTH, 2 * options.texts, options.beam))


def _texts(found: Sequence[Candidate], vocabulary: Vocabulary) -> tuple[Hypothesis, ...]:
    """What label sequences say, that of the first one first; those written alike are added."""
    scores: dict[str, float] = {}
    for each in found:
        said = text(each.labels, vocabulary)
        scores[said] = float(np.logaddexp(scores.get(said, -np.inf), each.score))
    first, *others = [Hypothesis(said, score) for said, score in scores.items()]
    return (first, *sorted(others, key=lambda other: -other.score))


def _segment(
    heard: _Heard, runs: Sequence[Run], others: tuple[Hypothesis, ...]
) -> TranscriptSegment:
    words = tuple(_words(heard, runs))
    confidence = geometric_mean(word.confidence for word in words)
    if not words and len(heard.cooled):
        confidence = heard.calibration.calibrated(_silence(heard))
    return TranscriptSegment(
        text=" ".join(word.text for word in words),
        span=heard.span(0, len(heard.log_probs)),
        confidence=confidence,
        method=heard.calibration.method,
        words=words,
        others=others,
    )


def _silence(heard: _Heard) -> float:
    """How sure the head is, over all frames, that nothing is said."""
    if heard.calibration.measure is ConfidenceMeasure.PROBABILITY:
        return float(np.exp(heard.cooled.max(axis=1)).mean())
    return float(certainty(heard.cooled).mean())


def _words(heard: _Heard, runs: Sequence[Run]) -> Iterator[Word]:
    space = heard.vocabulary.space
    said = [run for run in runs if run.label == space or is_written(run.label, heard.vocabulary)]
    if space is None:
        yield from (_word([_token(heard, run)]) for run in said)
        return
    for parts, same in groupby(said, key=lambda run: run.label == space):
        if not parts:
            yield _word([_token(heard, run) for run in same])


def _word(tokens: Sequence[Token]) -> Word:
    return Word(
        text="".join(token.text for token in tokens),
        span=Span(tokens[0].span.start, tokens[-1].span.end),
        confidence=geometric_mean(token.confidence for token in tokens),
        tokens=tuple(tokens),
    )


def _token(heard: _Heard, run: Run) -> Token:
    """The token of a run; the mean of its frames, so that blanks do not count."""
    cool = heard.cooled[run.start : run.end]
    calibration = heard.calibration
    raw = float(frame_confidence(cool, run.label, calibration.measure).mean())
    return Token(
        text=text_of(run.label, heard.vocabulary),
        span=heard.span(run.start, run.end),
        confidence=calibration.calibrated(raw),
        log_prob=float(heard.log_probs[run.start : run.end, run.label].mean()),
        entropy=float(spread(cool).mean()),
        alternatives=_alternatives(heard, run.label, cool),
    )


def _alternatives(heard: _Heard, label: int, cool: Doubles) -> tuple[TokenAlternative, ...]:
    """The likeliest other labels that would be written, by their mean probability."""
    if not heard.alternatives:
        return ()
    probs = np.exp(cool).mean(axis=0)
    others = [
        (float(probs[place]), written)
        for place in np.argsort(-probs, kind="stable").tolist()
        if place != label and (written := text_of(place, heard.vocabulary))
    ]
    return tuple(TokenAlternative(written, prob) for prob, written in others[: heard.alternatives])


def low_confidence(segment: TranscriptSegment, threshold: float) -> tuple[Span, ...]:
    """Stretches of words whose confidence is below `threshold`, neighbors joined."""
    found: list[Span] = []
    for low, same in groupby(segment.words, key=lambda word: word.confidence < threshold):
        if low:
            words = list(same)
            found.append(Span(words[0].span.start, words[-1].span.end))
    return tuple(found)
