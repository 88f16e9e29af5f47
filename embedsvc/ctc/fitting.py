"""A calibration from speech whose text is known.

Letters: T frames, V labels, n frames or tokens of all speech.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedsvc.ctc.alignment import align, fewest_frames
from embedsvc.ctc.calibration import COOLEST, HOTTEST, MOST_KNOTS, Calibration, WordCurve
from embedsvc.ctc.confidence import ConfidenceMeasure, cooled, token_confidence
from embedsvc.ctc.edits import right
from embedsvc.ctc.measures import Bools, judge
from embedsvc.ctc.runs import Doubles, Labels, greedy, labels_of
from embedsvc.ctc.transcript import transcribe
from embedsvc.ctc.vocabulary import text
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, Vocabulary

FEWEST_TOKENS = 100
"""Tokens, right and wrong, that a curve is learned from at least."""

_TOKENS_A_KNOT = 50
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Example:
    """Log-probabilities (T, V) of speech, and the labels that were said."""

    log_probs: Floats
    said: Labels


def fit(
    examples: Iterable[Example],
    vocabulary: Vocabulary,
    measures: Sequence[ConfidenceMeasure] = tuple(ConfidenceMeasure),
) -> Calibration:
    """The calibration that makes confidence the share of tokens that are right.

    Each of the `measures` is tried with and without a temperature: fitted on every other example,
    judged on the rest by normalized cross-entropy, and the best is fitted again on all. With it,
    for labels that part words, comes a curve of words if there are `FEWEST_TOKENS` of them. Raises
    InvalidArgument if the examples have fewer than `FEWEST_TOKENS` tokens.
    """
    every = list(examples)
    learned, asked = every[::2], every[1::2]
    heat = temperature(*aligned(learned, vocabulary.blank))
    choices = [Calibration(measure, warmth) for measure in measures for warmth in (1.0, heat)]

    def worth(choice: Calibration) -> float:
        fitted = _curved(learned, vocabulary, choice)
        return judge(*told(asked, vocabulary, fitted)).nce or 0.0

    _check_enough(every, vocabulary)
    best = max(choices, key=worth)
    if best.temperature != 1:
        best = replace(best, temperature=temperature(*aligned(every, vocabulary.blank)))
    fitted = _curved(every, vocabulary, best)
    return replace(fitted, words=_word_curve(every, vocabulary, fitted))


def _check_enough(examples: Sequence[Example], vocabulary: Vocabulary) -> None:
    confidence, _ = told(examples, vocabulary, Calibration())
    if len(confidence) < FEWEST_TOKENS:
        raise InvalidArgument(
            f"`examples` must have at least {FEWEST_TOKENS} tokens, but have {len(confidence)}",
            field="examples",
        )


def _curved(
    examples: Sequence[Example], vocabulary: Vocabulary, calibration: Calibration
) -> Calibration:
    confidence, correct = told(examples, vocabulary, calibration)
    raw, shares = isotonic(confidence, correct)
    return replace(calibration, raw=raw, told=shares)


def _word_curve(
    examples: Sequence[Example], vocabulary: Vocabulary, calibration: Calibration
) -> WordCurve | None:
    if vocabulary.space is None:
        return None
    # The curve of products that changes nothing: what is told of a word is its product.
    product = replace(calibration, words=WordCurve((0.0, 1.0), (0.0, 1.0)))
    confidence, correct = told_of_words(examples, vocabulary, product)
    if len(confidence) < FEWEST_TOKENS:
        return None
    return WordCurve(*isotonic(confidence, correct))


def told_of_words(
    examples: Iterable[Example], vocabulary: Vocabulary, calibration: Calibration
) -> tuple[Doubles, Bools]:
    """Confidence (n,) in each word that is read greedily, and whether it was said."""
    confidence: list[float] = []
    correct: list[bool] = []
    for each in examples:
        words = transcribe(each.log_probs, vocabulary, calibration=calibration).words
        confidence += [word.confidence for word in words]
        correct += right([word.text for word in words], text(each.said, vocabulary).split())
    return np.array(confidence), np.array(correct, np.bool_)


def told(
    examples: Iterable[Example], vocabulary: Vocabulary, calibration: Calibration
) -> tuple[Doubles, Bools]:
    """Confidence (n,) in each token that is read greedily, and whether it was said."""
    confidence: list[float] = []
    correct: list[bool] = []
    for each in examples:
        runs = greedy(each.log_probs, vocabulary.blank)
        cool = cooled(each.log_probs.astype(np.float64), calibration.temperature)
        for run in runs:
            raw = token_confidence(cool[run.start : run.end], run.label, calibration.measure)
            confidence.append(calibration.calibrated(raw))
        correct += right(labels_of(runs), each.said)
    return np.array(confidence), np.array(correct, np.bool_)


def aligned(examples: Iterable[Example], blank: int) -> tuple[Doubles, Sequence[int]]:
    """Log-probabilities (n, V) of the frames in which something was said, and what it was (n,).

    Examples that are too short for what was said are left out.
    """
    rows: list[Floats] = []
    labels: list[int] = []
    for each in examples:
        if not each.said or fewest_frames(each.said) > len(each.log_probs):
            continue
        for run in align(each.log_probs, each.said, blank).runs:
            rows.append(each.log_probs[run.start : run.end])
            labels += [run.label] * (run.end - run.start)
    if not rows:
        raise InvalidArgument(
            "`examples` must have speech with a text that fits into it, but have none",
            field="examples",
        )
    return np.concatenate(rows).astype(np.float64), labels


def temperature(log_probs: Doubles, labels: Sequence[int]) -> float:
    """What to divide logits (n, V) by to make the labels (n,) likeliest (Guo et al. 2017).

    The loss has one minimum in the inverse of it, which a golden-section search narrows down.
    """
    places = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        cool = cooled(log_probs, float(np.exp(log_temperature)))
        return float(-np.maximum(cool[places, labels], -1e4).mean())

    low, high = float(np.log(COOLEST)), float(np.log(HOTTEST))
    while high - low > 1e-3:
        left, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(other):
            high = other
        else:
            low = left
    return float(np.exp((low + high) / 2))


def isotonic(confidence: Doubles, correct: Bools) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of a rising line from confidence (n,) to the share that is right.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955), of bins with as many
    tokens each, and joined by lines, so that two confidences stay different if they can. No share
    is 0 or 1, since n tokens cannot tell that.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(MOST_KNOTS, max(1, len(order) // _TOKENS_A_KNOT)))
    blocks = [
        (float(confidence[part].mean()), float(correct[part].mean()), len(part)) for part in parts
    ]
    pooled: list[tuple[float, float, int]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and (
            pooled[-2][1] >= pooled[-1][1] or pooled[-2][0] >= pooled[-1][0]
        ):
            pooled.append(_joined(pooled.pop(-2), pooled.pop()))
    least = 1 / (len(confidence) + 2)
    told = np.clip([block[1] for block in pooled], least, 1 - least)
    return tuple(block[0] for block in pooled), tuple(told.tolist())


def _joined(
    left: tuple[float, float, int], right: tuple[float, float, int]
) -> tuple[float, float, int]:
    size = left[2] + right[2]
    share = right[2] / size
    return (
        left[0] + (right[0] - left[0]) * share,
        left[1] + (right[1] - left[1]) * share,
        size,
    )
