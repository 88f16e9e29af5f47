"""Language models made by hand, and what they say of a text by their definition."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

Grams = Mapping[tuple[str, ...], tuple[float, float]]
"""log10 probability and log10 of the weight of what backs off to it, of each n-gram."""

BIGRAMS: Grams = {
    ("<unk>",): (-1.0, 0),
    ("<s>",): (0, -0.3),
    ("</s>",): (-0.9, 0),
    ("a",): (-0.6, -0.2),
    ("ab",): (-0.8, -0.25),
    ("ba",): (-1.1, -0.1),
    ("nab",): (-1.2, 0),
    ("<s>", "a"): (-0.3, 0),
    ("a", "ab"): (-0.5, 0),
    ("ab", "</s>"): (-0.4, 0),
    ("ab", "a"): (-0.7, 0),
    ("ba", "ab"): (-0.2, 0),
}


def arpa(grams: Grams) -> str:
    """The file of a model."""
    orders = range(1, 1 + max(map(len, grams)))
    counts = [f"ngram {order}={sum(len(gram) == order for gram in grams)}" for order in orders]
    parts = ["\\data\\", *counts, ""]
    for order in orders:
        parts.append(f"\\{order}-grams:")
        for gram, (score, backoff) in grams.items():
            if len(gram) == order:
                tail = "" if order == orders[-1] else f"\t{backoff}"
                parts.append(f"{score}\t{' '.join(gram)}{tail}")
        parts.append("")
    return "\n".join([*parts, "\\end\\", ""])


def write(directory: Path, grams: Grams = BIGRAMS) -> Path:
    """An ARPA file in `directory`."""
    path = directory / "model.arpa"
    path.write_text(arpa(grams), encoding="utf-8")
    return path


def bigram_score(grams: Grams, before: str, word: str) -> float:
    """Log10 probability of a word after another, by the rule of Katz (1987)."""
    known = word if (word,) in grams else "<unk>"
    if (before, known) in grams:
        return grams[before, known][0]
    back = grams[(before,)][1] if (before,) in grams else 0.0
    return back + grams[(known,)][0]


def sentence_score(
    grams: Grams,
    words: Sequence[str],
    *,
    weight: float,
    bonus: float,
    unknown: float,
    boundary: bool = True,
) -> float:
    """What a model adds to a text, as pyctcdecode adds it."""
    total, before = 0.0, "<s>" if boundary else ""
    for word in words:
        known = (word,) in grams
        raw = bigram_score(grams, before, word) + (0 if known else unknown)
        total += weight * raw * math.log(10) + bonus
        before = word if known else "<unk>"
    if boundary:
        total += weight * bigram_score(grams, before, "</s>") * math.log(10)
    return total
