"""Log-probabilities made by hand, and vocabularies to read them with."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from embedsvc.ctc.runs import Labels, labels_of, runs_of
from embedsvc.types import Floats, Vocabulary

TEXT = Vocabulary(("<pad>", "a", "b", "n", "|", "<s>", "<unk>"), 0, 4, frozenset({5}), 6)
PHONES = Vocabulary(("", "a", "tʰ", "ʃ"), 0)


def normalized(scores: Floats) -> Floats:
    top = scores - scores.max(axis=1, keepdims=True)
    result: Floats = top - np.log(np.exp(top).sum(axis=1, keepdims=True))
    return result


def noise(seed: int, frames: int, labels: int, sharpness: float = 1.0) -> Floats:
    """Log-probabilities (frames, labels) without a meaning."""
    scores = np.random.default_rng(seed).normal(size=(frames, labels)) * sharpness
    return normalized(scores.astype(np.float32))


def said(path: str, vocabulary: Vocabulary, sure: float = 4.0) -> Floats:
    """Log-probabilities of one label each frame: `.` is the blank, `|` a space."""
    places = [vocabulary.blank if each == "." else vocabulary.labels.index(each) for each in path]
    scores = noise(len(path), len(path), len(vocabulary.labels), 0.1)
    scores[np.arange(len(path)), places] += sure
    return normalized(scores)


def totals(log_probs: Floats, blank: int) -> dict[Labels, float]:
    """Probability of every label sequence, added over all its alignments."""
    probs = np.exp(log_probs.astype(np.float64))
    found: dict[Labels, float] = {}
    for path in product(range(probs.shape[1]), repeat=len(probs)):
        labels = collapsed(path, blank)
        found[labels] = found.get(labels, 0) + probability(probs, path)
    return found


def probability(probs: Floats, path: Sequence[int]) -> float:
    return float(np.prod(probs[np.arange(len(path)), list(path)]))


def collapsed(path: Sequence[int], blank: int) -> Labels:
    return labels_of(runs_of(path, blank))
