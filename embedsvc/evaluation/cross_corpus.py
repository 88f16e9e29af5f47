"""Does what was learned on one corpus hold on another? Every corpus against every other."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embedsvc.evaluation.answers import Texts
from embedsvc.evaluation.listening import Heard
from embedsvc.evaluation.probes import Bench, Recipe, macro_f1, unweighted_accuracy

RECIPE = Recipe(0.003, balanced=True)
RECIPE_MFCC = Recipe(0.3, balanced=True)
OTHERS = "all others"


@dataclass(frozen=True)
class Crossing:
    """A straight cut learned on one corpus, or on all others, and asked about another.

    Only labels that both have are learned and asked; `chance` is one of these.
    """

    learned: str
    asked: str
    clips: int
    labels: int
    unweighted_accuracy: float
    macro_f1: float
    mfcc_unweighted_accuracy: float

    @property
    def chance(self) -> float:
        """Unweighted accuracy of guessing."""
        return 1 / self.labels

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "chance": self.chance}


def crossings(heard: Mapping[str, tuple[Heard, Texts]]) -> Iterator[Crossing]:
    """Every corpus, its clips and their labels, asked after learning on each other and on all."""
    for asked in heard:
        others = [name for name in heard if name != asked]
        for learned in others:
            yield from _crossing(learned, asked, _together([heard[learned]]), heard[asked])
        if len(others) > 1:
            yield from _crossing(
                OTHERS, asked, _together([heard[each] for each in others]), heard[asked]
            )


_Features = tuple[dict[str, Any], Texts]


def _together(parts: list[tuple[Heard, Texts]]) -> _Features:
    features = {
        "vectors": np.concatenate([heard.vectors for heard, _ in parts]),
        "cepstra": np.concatenate([heard.cepstra for heard, _ in parts]),
    }
    return features, np.concatenate([labels for _, labels in parts])


def _crossing(
    learned: str, asked: str, learn: _Features, test: tuple[Heard, Texts]
) -> Iterator[Crossing]:
    (features, labels), (heard, truth) = learn, test
    shared = np.intersect1d(labels, truth)
    if len(shared) < 2:
        return
    mine, theirs = np.isin(labels, shared), np.isin(truth, shared)
    bench = Bench()
    told = {
        kind: bench.fit({kind: features[kind][mine]}, labels[mine], recipe)[kind](
            getattr(heard, kind)[theirs]
        )
        for kind, recipe in (("vectors", RECIPE), ("cepstra", RECIPE_MFCC))
    }
    yield Crossing(
        learned,
        asked,
        int(theirs.sum()),
        len(shared),
        unweighted_accuracy(truth[theirs], told["vectors"]),
        macro_f1(truth[theirs], told["vectors"]),
        unweighted_accuracy(truth[theirs], told["cepstra"]),
    )
