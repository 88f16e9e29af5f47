"""A transcript with times and confidence, from the log-probabilities of a head.

Letters: T frames, V labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np

from embedsvc.ctc.alignment import STAR, align
from embedsvc.ctc.calibration import Calibration
from embedsvc.ctc.confidence import (
    ConfidenceMeasure,
    certainty,
    cooled,
    geometric_mean,
    spread,
    token_confidence,
)
from embedsvc.ctc.language_model import LanguageModel
from embedsvc.ctc.reading import Words
from embedsvc.ctc.runs import Doubles, Labels, Run, greedy
from embedsvc.ctc.search import Candidate, beam
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

ALIGNED = "alignment/v1"
"""The method of confidence in a known text."""

WIDTH = 16
"""Of the beam where none is asked for, but hot words or several texts are: one prefix alone would
lose both."""

ANYTHING = "*"
"""In a known text, any stretch of speech that it leaves out."""


@dataclass(frozen=True)
class _Heard:
    """What the frames of one stretch say, and how to write it down."""

    log_probs: Doubles
    cooled: Doubles
    vocabulary: Vocabulary
    calibration: Calibration | None
    alternatives: int
    frame: int
    start: int

    @property
    def method(self) -> str:
        return self.calibration.method if self.calibration else ALIGNED

    def confidence(self, run: Run) -> float:
        """Confidence in a token, from its own frames: blanks do not count."""
        rows = self.cooled[run.start : run.end]
        if self.calibration is None:
            return float(np.exp(min(0.0, float(rows[:, run.label].mean()))))
        raw = token_confidence(rows, run.label, self.calibration.measure)
        return self.calibration.calibrated(raw)

    def of_word(self, tokens: Sequence[Token]) -> float:
        """Confidence in a word, from that in its tokens."""
        each = [token.confidence for token in tokens]
        return self.calibration.of_word(each) if self.calibration else geometric_mean(each)

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
    summed: bool = True,
    model: LanguageModel | None = None,
) -> TranscriptSegment:
    """What log-probabilities (T, V) say, with times and confidence.

    A search follows `model`, unless the options go without. Confidence is that of the labels in
    what was heard: a model that chose them makes them no surer.
    `frame` is how many samples a frame lasts, `start` the sample of the first one. `summed` is
    False for a head that was taught frame by frame, as in `beam`. Raises TensorShape if the
    log-probabilities are not of the vocabulary, and what `beam` does.
    """
    options = options or DecodeOptions()
    check(log_probs, vocabulary)
    exact = log_probs.astype(np.float64)
    cool = cooled(exact, calibration.temperature)
    heard = _Heard(exact, cool, vocabulary, calibration, options.alternatives, frame, start)
    if options.beam == 1 and options.texts <= 1 and not options.hot_words:
        return _segment(heard, greedy(log_probs, vocabulary.blank), ())
    width = WIDTH if options.beam == 1 else options.beam
    # All that were followed, since several may be written alike.
    wanted = max(width, options.texts)
    model = _weighted(model, options)
    hot = options.hot_words
    found = beam(log_probs, vocabulary, width, hot, wanted, summed=summed, model=model)
    best, *others = _texts(found, vocabulary, summed=summed)[: max(1, options.texts)]
    runs = align(log_probs, best.labels, vocabulary.blank).runs
    told = tuple(Hypothesis(_written(each, vocabulary), each.score) for each in others)
    return _segment(heard, runs, told, best.words)


def align_text(
    said: str,
    log_probs: Floats,
    vocabulary: Vocabulary,
    *,
    frame: int = FRAME,
    start: int = 0,
) -> TranscriptSegment:
    """When each word of a known text is said in log-probabilities (T, V), and how likely it is.

    Letters are written as the vocabulary has them, and `*` is speech that is not in the text.
    Confidence is the geometric mean of a label's probability over its frames, since a label that
    is not said is drawn out over what is; no calibration is of it. Raises InvalidArgument if a
    letter is not in the vocabulary, or if the text does not fit into the frames, and TensorShape
    as `transcribe` does.
    """
    check(log_probs, vocabulary)
    labels = _with_stars(said, vocabulary)
    runs = align(log_probs, labels, vocabulary.blank, field="text").runs
    exact = log_probs.astype(np.float64)
    return _segment(_Heard(exact, exact, vocabulary, None, 0, frame, start), runs, ())


def _with_stars(said: str, vocabulary: Vocabulary) -> Labels:
    """Labels of a text, each `*` of it as `STAR`; a star covers the spaces beside it, too."""
    parts = said.split(ANYTHING)
    if not any(part.strip() for part in parts):
        return encode("", vocabulary)
    known = [encode(part, vocabulary) if part.strip() else () for part in parts]
    found = list(known[0])
    for part in known[1:]:
        found += [STAR, *part]
    return tuple(found)


def _weighted(model: LanguageModel | None, options: DecodeOptions) -> LanguageModel | None:
    """The model with the weights that are asked for."""
    if model is None or options.without_language_model:
        return None
    weight, bonus = options.lm_weight, options.word_bonus
    return replace(
        model,
        weight=model.weight if weight is None else weight,
        bonus=model.bonus if bonus is None else bonus,
    )


def _written(candidate: Candidate, vocabulary: Vocabulary) -> str:
    """The text of a candidate: words of a list, or what its labels write."""
    if candidate.words is None:
        return text(candidate.labels, vocabulary)
    return " ".join(word for word, _ in candidate.words)


def _texts(found: Sequence[Candidate], vocabulary: Vocabulary, *, summed: bool) -> list[Candidate]:
    """The likeliest label sequence of each text, the best text first.

    The score is that of all ways to write the text, if it is `summed`.
    """
    texts: dict[str, Candidate] = {}
    seen: set[tuple[str, Labels]] = set()
    for each in found:
        written = _written(each, vocabulary)
        if (written, each.labels) in seen:
            continue  # the same labels, read as the same words in another way, were said once
        seen.add((written, each.labels))
        best = texts.setdefault(written, each)
        if summed and best is not each:
            texts[written] = replace(best, score=float(np.logaddexp(best.score, each.score)))
    return sorted(texts.values(), key=lambda each: -each.score)


def _segment(
    heard: _Heard,
    runs: Sequence[Run],
    others: tuple[Hypothesis, ...],
    listed: Words | None = None,
) -> TranscriptSegment:
    words = tuple(_words(heard, runs) if listed is None else _listed(heard, runs, listed))
    confidence = geometric_mean(word.confidence for word in words)
    if not words and len(heard.cooled) and heard.calibration:
        confidence = _silence(heard.cooled, heard.calibration)
    return TranscriptSegment(
        text=" ".join(word.text for word in words),
        span=heard.span(0, len(heard.log_probs)),
        confidence=confidence,
        method=heard.method,
        words=words,
        others=others,
    )


def _silence(log_probs: Doubles, calibration: Calibration) -> float:
    """How sure the head is, over all frames, that nothing is said."""
    if calibration.measure is ConfidenceMeasure.PROBABILITY:
        raw = np.minimum(np.exp(log_probs.max(axis=1)), 1)
    else:
        raw = certainty(log_probs)
    return calibration.calibrated(float(raw.mean()))


def _words(heard: _Heard, runs: Sequence[Run]) -> Iterator[Word]:
    vocabulary = heard.vocabulary
    between = {STAR, vocabulary.space}
    said = [run for run in runs if run.label in between or is_written(run.label, vocabulary)]
    for parts, same in groupby(said, key=lambda run: run.label in between):
        tokens = [] if parts else [_token(heard, run) for run in same]
        if vocabulary.space is None:
            yield from (_word(heard, [token]) for token in tokens)
        elif tokens:
            yield _word(heard, tokens)


def _listed(heard: _Heard, runs: Sequence[Run], listed: Words) -> Iterator[Word]:
    """Words of a list, which are written otherwise than the labels that say them."""
    every = iter(runs)
    for written, count in listed:
        said = [run for run in islice(every, count) if is_written(run.label, heard.vocabulary)]
        yield replace(_word(heard, [_token(heard, run) for run in said]), text=written)


def _word(heard: _Heard, tokens: Sequence[Token]) -> Word:
    return Word(
        text="".join(token.text for token in tokens),
        span=Span(tokens[0].span.start, tokens[-1].span.end),
        confidence=heard.of_word(tokens),
        tokens=tuple(tokens),
    )


def _token(heard: _Heard, run: Run) -> Token:
    cool = heard.cooled[run.start : run.end]
    return Token(
        text=text_of(run.label, heard.vocabulary),
        span=heard.span(run.start, run.end),
        confidence=heard.confidence(run),
        log_prob=float(heard.log_probs[run.start : run.end, run.label].mean()),
        entropy=float(spread(cool).mean()),
        alternatives=_alternatives(heard, run.label, cool),
    )


def _alternatives(heard: _Heard, label: int, cool: Doubles) -> tuple[TokenAlternative, ...]:
    """The likeliest other labels that would be written, by their mean probability."""
    if heard.alternatives < 1:
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
