"""Translations: is a sentence found among the sentences of another language."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.clips import DEFAULT, Clips
from embedsvc.evaluation.measures import Measure
from embedsvc.evaluation.same_content import standardized, unit
from embedsvc.types import Floats

TASK = "translations"
RELATED = (
    ("spa", "por"),
    ("spa", "ita"),
    ("rus", "ukr"),
    ("ces", "slk"),
    ("hin", "urd"),
    ("ind", "msa"),
)
"""Languages whose words sound alike: their mean is the headline."""

ENGLISH = (("eng", "deu"), ("eng", "nld"), ("eng", "fra"), ("eng", "cmn"), ("eng", "swa"))
_LEAST = 5
"""Fewest sentences that a pair must share."""

Places = NDArray[np.intp]


def measure(clips: Clips) -> Iterator[Measure]:
    """R@1 of each pair, the mean of both directions, and the mean of the related pairs.

    Vectors are standardized within each language; those of the default space only centered.
    """
    languages = clips.languages
    groups = clips.column(lambda row: row.group)
    features = {
        name: _by_language(vectors, languages, whole=name != DEFAULT)
        for name, vectors in clips.features().items()
    }
    related = []
    for pair in (*RELATED, *ENGLISH):
        sides = _shared(languages, groups, pair)
        if min(map(len, sides)) < _LEAST:
            continue
        found = _measure(pair, features, groups, sides)
        related += [found] if pair in RELATED else []
        yield found
    if related:
        yield _mean(related)


def _measure(
    pair: tuple[str, str],
    features: Mapping[str, Floats],
    groups: NDArray[np.str_],
    sides: tuple[Places, Places],
) -> Measure:
    values = {name: _both(vectors, groups, sides) for name, vectors in features.items()}
    first, second = sides
    chance = (_chance(groups[first], groups[second]) + _chance(groups[second], groups[first])) / 2
    counts = {"clips": len(first) + len(second), "queries": len(first) + len(second)}
    return Measure(TASK, "-".join(pair), "R@1", values, chance, counts)


def _mean(related: list[Measure]) -> Measure:
    values = {
        name: float(np.mean([each.values[name] for each in related])) for name in related[0].values
    }
    chance = float(np.mean([each.chance for each in related if each.chance is not None]))
    counts = {"pairs": len(related), "queries": sum(each.counts["queries"] for each in related)}
    return Measure(TASK, "related pairs", "R@1", values, chance, counts)


def _shared(
    languages: NDArray[np.str_], groups: NDArray[np.str_], pair: tuple[str, str]
) -> tuple[Places, Places]:
    """Places of the clips of either language whose sentence the other has too."""
    first, second = (np.flatnonzero(languages == language) for language in pair)
    both = set(groups[first]) & set(groups[second]) - {""}
    keep = np.array([group in both for group in groups], dtype=bool)
    return first[keep[first]], second[keep[second]]


def _both(vectors: Floats, groups: NDArray[np.str_], sides: tuple[Places, Places]) -> float:
    first, second = sides
    scores = vectors[first] @ vectors[second].T
    there = np.mean(groups[second][scores.argmax(axis=1)] == groups[first])
    back = np.mean(groups[first][scores.argmax(axis=0)] == groups[second])
    return float(there + back) / 2


def _by_language(vectors: Floats, languages: NDArray[np.str_], *, whole: bool) -> Floats:
    result = np.empty_like(vectors)
    for language in np.unique(languages):
        mine = languages == language
        part = vectors[mine]
        result[mine] = standardized(part) if whole else unit(part - part.mean(axis=0))
    return result


def _chance(asked: NDArray[np.str_], there: NDArray[np.str_]) -> float:
    return float(np.mean([np.mean(there == group) for group in asked]))
