"""Vectors like those of speech: a sentence, a language and a speaker add up, and all share much."""

from dataclasses import dataclass

import numpy as np

from embedsvc.transforms import Sample
from embedsvc.types import Floats

LANGUAGES = ("deu", "ell", "fra", "pol")
DIM = 24


@dataclass(frozen=True)
class Made:
    """`sample` holds each sentence in each language; `sentences` says which."""

    sample: Sample
    sentences: np.ndarray


def made(sentences: int = 60, seed: int = 0, *, apart: float = 3.0) -> Made:
    """`apart` is how far the languages are from each other, where sentences are 1 apart."""
    random = np.random.default_rng(seed)
    content = random.standard_normal((sentences, DIM))
    centers = apart * random.standard_normal((len(LANGUAGES), DIM))
    shared = 5 * random.standard_normal(DIM)
    vectors = (
        content[:, None]
        + centers
        + shared
        + 0.3 * random.standard_normal((sentences, len(LANGUAGES), DIM))
    )
    places = [(s, name) for s in range(sentences) for name in LANGUAGES]
    sample = Sample(
        vectors.reshape(-1, DIM).astype(np.float32),
        [name for _, name in places],
        [f"{name}-{s}" for s, name in places],
    )
    return Made(sample, np.array([s for s, _ in places]))


def found(vectors: Floats, what: Made) -> float:
    """Share of vectors whose nearest in another language says the same."""
    scores = vectors @ vectors.T
    languages = np.array(what.sample.languages)
    scores[languages[:, None] == languages] = -np.inf
    return float((what.sentences[scores.argmax(axis=1)] == what.sentences).mean())
