"""Probes that are trained in a moment, on vectors that are drawn."""

from collections.abc import Sequence

import numpy as np

from embedsvc.probes import Examples, Probe, train
from embedsvc.types import Floats, Pooling, ProbeRecipe, ProbeTask, Space, Windowing

DIM = 8
QUICK = ProbeRecipe(strengths=(0.1,), folds=2)


def space(fingerprint: str = "f00", dim: int = DIM, pooling: Pooling = Pooling.MEAN) -> Space:
    """A space that no model makes."""
    return Space(fingerprint, "drawn", "", 1, pooling, Windowing(), "", True, dim)


def drawn(
    spaces: Sequence[Space], labels: Sequence[str] = ("dog", "cat"), each: int = 40, seed: int = 1
) -> Examples:
    """Vectors around a center for each label, in ten groups; the baseline knows nothing."""
    random = np.random.default_rng(seed)
    dim = sum(one.dim for one in spaces)
    centers = random.standard_normal((len(labels), dim))
    rows = [centers[place % len(labels)] for place in range(each * len(labels))]
    vectors = np.asarray(rows) + 0.3 * random.standard_normal((len(rows), dim))
    return Examples(
        vectors=unit(np.asarray(vectors, np.float32)),
        labels=tuple(labels[place % len(labels)] for place in range(len(rows))),
        groups=tuple(str(place // len(labels) % 10) for place in range(len(rows))),
        spaces=tuple(spaces),
        baseline=np.asarray(random.standard_normal((len(rows), 3)), np.float32),
    )


def unit(vectors: Floats) -> Floats:
    """Rows at length 1."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def probe(
    spaces: Sequence[Space] | None = None,
    labels: Sequence[str] = ("dog", "cat"),
    name: str = "pets",
    seed: int = 1,
) -> Probe:
    """A probe of drawn vectors."""
    examples = drawn(spaces or [space()], labels, seed=seed)
    return train(name, 1, examples, QUICK, background=None, tell=lambda *_: None)


def number_probe(spaces: Sequence[Space] | None = None) -> Probe:
    """A probe that answers with the first number of a vector."""
    examples = drawn(spaces or [space()])
    values = tuple(str(round(float(each), 4)) for each in examples.vectors[:, 0])
    told = Examples(examples.vectors, values, examples.groups, examples.spaces)
    recipe = ProbeRecipe(task=ProbeTask.REGRESSION, strengths=(1.0,), folds=2)
    return train("first", 1, told, recipe, background=None, tell=lambda *_: None)
