"""Linear probes: what a straight cut through the vectors can tell."""

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from embedsvc.types import Floats

Texts = NDArray[np.str_]

_ROUNDS = 200
"""Steps of the fit; its last digits do not matter here."""


@dataclass(frozen=True)
class Scale:
    """Each dimension moved by `mean` and divided by `deviation`; both (D,)."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, vectors: Floats) -> "Scale":
        """That which gives `vectors` (n, D) mean 0 and variance 1; constant ones stay."""
        deviation = vectors.std(axis=0, dtype=np.float64).astype(np.float32)
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(mean, np.where(deviation > 1e-8, deviation, np.float32(1)))

    def __call__(self, vectors: Floats) -> Floats:
        """Vectors (n, D), moved and divided."""
        return (vectors - self.mean) / self.deviation


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression, and the scale of what it was fitted on."""

    scale: Scale
    model: Any

    def __call__(self, vectors: Floats, scale: Scale | None = None) -> Texts:
        """Label of each vector (n, D), by another `scale` if one is given."""
        result: Texts = self.model.predict((scale or self.scale)(vectors)).astype(np.str_)
        return result


@dataclass(frozen=True)
class Recipe:
    """How to fit: the smaller the `strength`, the more a probe is held back.

    `balanced` lets every class count alike.
    """

    strength: float
    balanced: bool = False


@dataclass(frozen=True)
class Bench:
    """Where probes are fitted, `threads` at once; `step` is told of each that is done."""

    threads: int = 1
    step: Callable[[], None] = lambda: None

    def run(self, works: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Results of `works` by name.

        The linear algebra of each stays on its own thread: a fit is thousands of small products,
        and waking other threads for each costs far more than it gains.
        """
        with (
            warnings.catch_warnings(),
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(self.threads) as threads,
        ):
            warnings.simplefilter("ignore", ConvergenceWarning)
            return {
                name: self._stepped(result)
                for name, result in zip(
                    works, threads.map(lambda work: work(), works.values()), strict=True
                )
            }

    def fit(
        self, features: Mapping[str, Floats], labels: Texts, recipe: Recipe
    ) -> dict[str, Probe]:
        """A probe for each kind of vectors (n, D)."""
        return self.run(
            {kind: partial(fit, vectors, labels, recipe) for kind, vectors in features.items()}
        )

    def _stepped(self, result: Any) -> Any:
        self.step()
        return result


def fit(vectors: Floats, labels: Texts, recipe: Recipe) -> Probe:
    """Probe of vectors (n, D)."""
    scale = Scale.of(vectors)
    weights = "balanced" if recipe.balanced else None
    model = LogisticRegression(C=recipe.strength, max_iter=_ROUNDS, class_weight=weights)
    model.fit(scale(vectors), labels)
    return Probe(scale, model)


def folds(groups: Texts, count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Places to train on and to test on, `count` times; no group is on both sides."""
    splitter = GroupKFold(n_splits=count)
    return [(train, test) for train, test in splitter.split(groups, groups=groups)]


def accuracy(truth: Texts, told: Texts) -> float:
    """Share of labels that are right."""
    return float(np.mean(truth == told))


def unweighted_accuracy(truth: Texts, told: Texts) -> float:
    """Mean over the classes of the share of each that is right."""
    return float(np.mean([np.mean(told[truth == each] == each) for each in np.unique(truth)]))


def macro_f1(truth: Texts, told: Texts) -> float:
    """Mean over the classes, of the truth and of what was told, of their F1."""
    scores = []
    for each in np.unique(np.concatenate([truth, told])):
        right = np.sum((truth == each) & (told == each))
        scores.append(2 * right / (np.sum(truth == each) + np.sum(told == each)))
    return float(np.mean(scores))
