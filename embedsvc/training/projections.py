"""Fit what a model's pooled vectors go through before they are compared.

`whitened`: what nearly all speech shares takes up most of a pooled vector. Whitening by principal
components gives every direction the same weight and drops those that hardly vary; that it makes
searches find more is known from images (Jégou and Chum 2012, "Negative evidences and
co-occurrences in image retrieval: the benefit of PCA and whitening").

`content`: the same text sounds different from another speaker, room or line. Directions along which
it differs are shrunk, so that what remains tells texts apart: within-class covariance normalization
(Hatch, Kajarekar and Stolcke 2006), then the principal components of what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from embedsvc.encoder import Encoder, pool
from embedsvc.training.augmentation import Chances, augment, normalize
from embedsvc.training.batches import Material, Mix, Sampler
from embedsvc.training.corpus import Corpus
from embedsvc.training.phones import Inventory
from embedsvc.types import Ask, Floats, Frames, Pooling

SHRINKAGE = 0.1
POOLINGS = (Pooling.MEAN, Pooling.MEAN_STD)
LEAST_DEVIATION = 1e-6
"""A dimension that hardly varies says nothing, and must not be blown up."""

Doubles = NDArray[np.float64]
Parts = tuple[Floats, Floats, Floats]
"""Mean, scale and matrix."""


@dataclass(frozen=True)
class Sample:
    """Vectors (views, clips, D) of each layer and pooling.

    Clips of equal `texts` say the same in the same language.
    """

    vectors: dict[tuple[int, Pooling], Floats]
    texts: NDArray[np.int64]


def collect(
    encoder: Encoder, corpus: Corpus, layers: Sequence[int], count: int, seed: int = 5
) -> Sample:
    """About `count` clips, each heard as it is and twice as others would hear it."""
    languages = sorted({clip.language for clip in corpus.clips})
    material = Material.of(corpus, Inventory(("",)), languages, torch.device("cpu"))
    sampler = Sampler(corpus.clips, Mix(frames=2048, real=0.2, pairs=0.6), seed)
    vectors: dict[tuple[int, Pooling], list[list[Floats]]] = {
        (layer, pooling): [[], [], []] for layer in layers for pooling in POOLINGS
    }
    texts: list[int] = []
    step = 0
    while len(texts) < count:
        width, chosen = sampler.choose(step, 0)
        for view in range(3):
            random = torch.Generator().manual_seed(1_000 * step + view)
            batch = material.batch(width, chosen, random)
            mel = augment(batch.mel, Chances(), random) if view else batch.mel
            utterances = [Frames(each) for each in normalize(mel).numpy()]
            asks = [Ask(tuple(layers), runs=((0, width),)) for _ in utterances]
            for answer in encoder.encode(utterances, asks):
                for layer, (moments,) in answer.moments.items():
                    for pooling in POOLINGS:
                        vectors[layer, pooling][view].append(pool(moments, pooling))
        which = torch.from_numpy(chosen)
        numbers = material.groups[which] * len(languages) + material.languages[which]
        texts.extend(numbers.tolist())
        step += 1
    stacked = {key: np.stack([np.stack(view) for view in views]) for key, views in vectors.items()}
    return Sample(stacked, np.array(texts))


def fit(sample: Sample, dim: int) -> dict[str, Floats]:
    """Tensors of both projections: `dim` dimensions of mean and deviation, half of the mean."""
    tensors: dict[str, Floats] = {}
    for (layer, pooling), vectors in sorted(sample.vectors.items()):
        views, clips, size = vectors.shape
        flat = vectors.reshape(views * clips, size)
        kept = dim if pooling is Pooling.MEAN_STD else dim // 2
        classes = np.tile(sample.texts, views)
        fitted = {"whitened": whiten(flat, kept), "content": discriminate(flat, classes, kept)}
        for name, parts in fitted.items():
            for part, values in zip(("mean", "scale", "matrix"), parts, strict=True):
                tensors[f"{name}/layer{layer}/{pooling}/{part}"] = values
    return tensors


def whiten(vectors: Floats, dim: int) -> Parts:
    """Mean (D,), scale (D,) and matrix (D, dim) that whiten vectors (n, D).

    Each dimension is standardized, then turned to the principal components of all and divided by
    their deviations. These come from a covariance shrunk toward equal variances, in the spirit of
    Ledoit and Wolf (2004), so that no direction the sample hardly has is blown up.
    """
    mean, scale, standard = _standardized(vectors)
    variances, components = np.linalg.eigh(standard.T @ standard / len(standard))
    shrunk = (1 - SHRINKAGE) * variances + SHRINKAGE * variances.mean()
    matrix = (_signed(components) / np.sqrt(shrunk))[:, ::-1][:, :dim]
    return _single(mean), _single(scale), _single(matrix)


def discriminate(vectors: Floats, classes: NDArray[np.int64], dim: int) -> Parts:
    """Mean, scale and matrix (D, dim) that bring vectors (n, D) of one class together.

    The covariance within classes is shrunk like that of `whiten` before its inverse root is taken;
    of what comes out, the principal components are kept as long as they are.
    """
    mean, scale, standard = _standardized(vectors)
    _, numbers = np.unique(classes, return_inverse=True)
    sums = np.zeros((numbers.max() + 1, standard.shape[1]))
    np.add.at(sums, numbers, standard)
    counts = np.bincount(numbers)
    within = (standard - (sums / counts[:, None])[numbers])[counts[numbers] > 1]
    variances, components = np.linalg.eigh(within.T @ within / len(within))
    shrunk = (1 - SHRINKAGE) * variances + SHRINKAGE * variances.mean()
    shrunk = np.maximum(shrunk, LEAST_DEVIATION)  # classes may hold the very same twice
    even = components / np.sqrt(shrunk)
    _, directions = np.linalg.eigh(even.T @ (standard.T @ standard / len(standard)) @ even)
    matrix = (even @ _signed(directions))[:, ::-1][:, :dim]
    return _single(mean), _single(scale), _single(matrix)


def _standardized(vectors: Floats) -> tuple[Doubles, Doubles, Doubles]:
    values = vectors.astype(np.float64)
    mean = values.mean(axis=0)
    deviation = values.std(axis=0)
    scale = np.where(deviation > LEAST_DEVIATION, 1 / np.maximum(deviation, LEAST_DEVIATION), 0.0)
    return mean, scale, (values - mean) * scale


def _single(values: Doubles) -> Floats:
    return np.ascontiguousarray(values, np.float32)


def _signed(components: Doubles) -> Doubles:
    """Columns (D, D) with their largest value positive: their sign is otherwise left to chance."""
    largest = np.abs(components).argmax(axis=0)
    signed: Doubles = components * np.sign(components[largest, range(len(largest))])
    return signed
