"""Fit the projection `whitened`: vectors of fewer dimensions that do not vary together.

    python -m embedsvc.training.whiten INDEX_TSV... --model mini --output FILE

What nearly all speech shares takes up most of a pooled vector. Whitening by principal components
gives every direction the same weight and drops those that hardly vary; that it makes searches find
more is known from images (Jégou and Chum 2012, "Negative evidences and co-occurrences in image
retrieval: the benefit of PCA and whitening").

An index is a table with tabs between its columns and a row for each clip: `path` (relative to the
index), `split`, `language` and `licence_class` are read. Only rows to train on whose license lets
the result be given away are used. Run it before the model's embedsvc.json names the projection as
its default.
"""

import argparse
import csv
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from embedsvc.audio import Door, decode, features
from embedsvc.encoder import Encoder, pool, resolve
from embedsvc.errors import EmbedsvcError
from embedsvc.types import Ask, Encoded, Floats, Frames, Pooling

NAME = "whitened"
LAYERS = (4, 5, 6)
"""Those that are useful; each adds half a megabyte."""

POOLINGS = (Pooling.MEAN, Pooling.MEAN_STD)
DIM = 256
SHRINKAGE = 0.1
LICENSE_CLASSES = frozenset({"permissive", "cc-by-sa"})
CAP = 64
"""Clips of one language in one index: more would let a single corpus speak for a language."""

BATCH = 16
LEAST_DEVIATION = 1e-6
"""A dimension that hardly varies says nothing, and must not be blown up."""

Key = tuple[int, Pooling]


@dataclass(frozen=True)
class Clip:
    """One utterance to fit on; `language` is without its region."""

    path: Path
    corpus: str
    language: str


@dataclass
class Sample:
    """Pooled vectors by layer and pooling, the clips they are of, and what could not be read."""

    vectors: dict[Key, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    clips: list[Clip] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def read_clips(indexes: Iterable[Path], cap: int = CAP) -> list[Clip]:
    """Clips that may be used, at most `cap` for each index and language, in a fixed order."""
    groups: dict[tuple[Path, str], list[Clip]] = defaultdict(list)
    for index in sorted(indexes):
        for row in _rows(index):
            if row["split"] == "train" and row["licence_class"] in LICENSE_CLASSES:
                language = row["language"].split("-")[0]
                clip = Clip(index.parent / row["path"], index.parent.name, language)
                groups[index, row["language"]].append(clip)
    return [clip for key in sorted(groups) for clip in _choice(groups[key], cap)]


def collect(encoder: Encoder, clips: Iterable[Clip]) -> Sample:
    """Vectors of `LAYERS` and `POOLINGS` for all clips that can be read."""
    sample = Sample()
    readable = _readable(clips, sample)
    while group := list(islice(readable, BATCH)):
        utterances = [frames for _, frames in group]
        asks = [Ask(LAYERS, runs=((0, len(frames)),)) for frames in utterances]
        for (clip, _), answer in zip(group, encoder.encode(utterances, asks), strict=True):
            sample.clips.append(clip)
            _add(sample, answer)
    return sample


def fit(sample: Sample, dim: int = DIM) -> dict[str, Floats]:
    """Tensors of the projection: to `dim` dimensions with deviations, to half as many without."""
    tensors: dict[str, Floats] = {}
    for (layer, pooling), vectors in sorted(sample.vectors.items()):
        stacked = np.stack(vectors)
        kept = dim if pooling is Pooling.MEAN_STD else dim // 2
        mean, scale, matrix = whiten(stacked, kept)
        path = f"{NAME}/layer{layer}/{pooling}"
        tensors |= {f"{path}/mean": mean, f"{path}/scale": scale, f"{path}/matrix": matrix}
    return tensors


def whiten(vectors: Floats, dim: int) -> tuple[Floats, Floats, Floats]:
    """Mean (D,), scale (D,) and matrix (D, dim) that whiten vectors (n, D).

    Each dimension is standardized, then turned to the principal components of all and divided by
    their deviations. These come from a covariance shrunk toward equal variances, in the spirit of
    Ledoit and Wolf (2004, "A well-conditioned estimator for large-dimensional covariance
    matrices"): few clips underestimate the small ones.
    """
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    scale = 1 / np.maximum(wide.std(axis=0), LEAST_DEVIATION)
    standard = (wide - mean) * scale
    variances, components = np.linalg.eigh(standard.T @ standard / len(standard))
    shrunk = (1 - SHRINKAGE) * variances + SHRINKAGE * variances.mean()
    matrix = (_signed(components) / np.sqrt(shrunk))[:, ::-1][:, :dim]
    return _single(mean), _single(scale), _single(matrix)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, write the tensors, and report the clips of each language and corpus as JSON."""
    parser = argparse.ArgumentParser(description="fit the projection `whitened` of a model")
    parser.add_argument("indexes", nargs="+", type=Path, metavar="INDEX_TSV")
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--dim", type=int, default=DIM, help="dimensions, half as many for means")
    parser.add_argument("--cap", type=int, default=CAP, help="clips per index and language")
    options = parser.parse_args(arguments)
    encoder = Encoder.load(resolve(options.model))
    if not 2 <= options.dim <= 2 * encoder.dim:
        parser.error(f"`--dim` must be from 2 to {2 * encoder.dim}, but is {options.dim}")
    sample = collect(encoder, read_clips(options.indexes, options.cap))
    if not sample.clips:
        parser.error("no clip of the indexes may be used or can be read")
    save_file(fit(sample, options.dim), options.output)
    report = {
        "clips": len(sample.clips),
        "languages": dict(sorted(Counter(clip.language for clip in sample.clips).items())),
        "corpora": dict(sorted(Counter(clip.corpus for clip in sample.clips).items())),
        "skipped": dict(sorted(sample.skipped.items())),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _rows(index: Path) -> Iterator[dict[str, str]]:
    with index.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _choice(clips: Sequence[Clip], cap: int) -> list[Clip]:
    """`cap` of the clips, picked by a hash of their path: any row order gives the same."""

    def rank(clip: Clip) -> str:
        return hashlib.sha256(f"{clip.path.parent.name}/{clip.path.name}".encode()).hexdigest()

    return sorted(clips, key=rank)[:cap]


def _readable(clips: Iterable[Clip], sample: Sample) -> Iterator[tuple[Clip, Frames]]:
    for clip in clips:
        try:
            frames = features(decode(clip.path.read_bytes(), Door()).samples)
        except EmbedsvcError as error:
            sample.skipped[error.reason] += 1
        else:
            yield clip, frames


def _add(sample: Sample, answer: Encoded) -> None:
    for layer, (moments,) in answer.moments.items():
        for pooling in POOLINGS:
            sample.vectors[layer, pooling].append(pool(moments, pooling))


def _single(values: NDArray[np.float64]) -> Floats:
    return np.ascontiguousarray(values, np.float32)


def _signed(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns (D, D) with their largest value positive: their sign is otherwise left to chance."""
    largest = np.abs(components).argmax(axis=0)
    signed: NDArray[np.float64] = components * np.sign(components[largest, range(len(largest))])
    return signed


if __name__ == "__main__":
    main()
