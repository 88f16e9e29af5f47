"""Fit the projection `standard`: mean 0 and variance 1 in every dimension of a pooled vector.

    python -m embedsvc.training.standardize INDEX_TSV... --model mini --output FILE

An index is a table with tabs between its columns and a row for each clip: `path` (relative to the
index), `split`, `language` and `licence_class` are read. Only rows to train on whose license lets
the result be given away are used. Every language counts alike, however many clips it has. Run it
before the model's embedsvc.json names the projection as its default.
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

NAME = "standard"
POOLINGS = (Pooling.MEAN, Pooling.MEAN_STD, Pooling.MAX)
LICENSE_CLASSES = frozenset({"permissive", "cc-by-sa"})
CAP = 64
"""Clips of one language in one index: more would let a single corpus speak for a language."""

BATCH = 16
LEAST_DEVIATION = 1e-6
"""A dimension that hardly varies says nothing, and must not be blown up."""

Doubles = NDArray[np.float64]
Key = tuple[int, Pooling]


@dataclass(frozen=True)
class Clip:
    """One utterance to fit on; `language` is without its region."""

    path: Path
    corpus: str
    language: str


@dataclass
class Sample:
    """Pooled vectors by layer and pooling, the language of each, and what could not be read."""

    vectors: dict[Key, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    languages: list[str] = field(default_factory=list)
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
    """Vectors of every layer and pooling for all clips that can be read."""
    sample = Sample()
    readable = _readable(clips, sample)
    while group := list(islice(readable, BATCH)):
        utterances = [frames for _, frames in group]
        asks = [
            Ask(tuple(range(encoder.layers + 1)), runs=((0, len(frames)),)) for frames in utterances
        ]
        for (clip, _), answer in zip(group, encoder.encode(utterances, asks), strict=True):
            sample.languages.append(clip.language)
            _add(sample, answer)
    return sample


def fit(sample: Sample) -> dict[str, Floats]:
    """Tensors of the projection: the mean and one over the deviation of each dimension."""
    weights = balance(sample.languages)[:, None]
    tensors = {}
    for (layer, pooling), vectors in sorted(sample.vectors.items()):
        stacked = np.stack(vectors).astype(np.float64)
        mean = (weights * stacked).sum(0)
        deviation = np.sqrt((weights * (stacked - mean) ** 2).sum(0))
        path = f"{NAME}/layer{layer}/{pooling}"
        tensors[f"{path}/mean"] = mean.astype(np.float32)
        scale = 1 / np.maximum(deviation, LEAST_DEVIATION)
        tensors[f"{path}/scale"] = scale.astype(np.float32)
    return tensors


def balance(languages: Sequence[str]) -> Doubles:
    """Weights (n,) with sum 1 under which every language has the same share.

    >>> balance(["ara", "heb", "heb"]).tolist()
    [0.5, 0.25, 0.25]
    """
    counts = Counter(languages)
    return np.array([1 / (len(counts) * counts[language]) for language in languages])


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, write the tensors, and report the clips of each language as JSON."""
    parser = argparse.ArgumentParser(description="fit the projection `standard` of a model")
    parser.add_argument("indexes", nargs="+", type=Path, metavar="INDEX_TSV")
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--cap", type=int, default=CAP, help="clips per index and language")
    options = parser.parse_args(arguments)
    clips = read_clips(options.indexes, options.cap)
    sample = collect(Encoder.load(resolve(options.model)), clips)
    if not sample.languages:
        parser.error("no clip of the indexes may be used or can be read")
    save_file(fit(sample), options.output)
    report = {
        "clips": len(sample.languages),
        "languages": dict(sorted(Counter(sample.languages).items())),
        "corpora": dict(sorted(Counter(clip.corpus for clip in clips).items())),
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


if __name__ == "__main__":
    main()
