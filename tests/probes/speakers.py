"""Vectors shaped like those of speech: of each label several speakers, whose voices are louder."""

from dataclasses import dataclass

import numpy as np

from embedsvc.probes import Examples, Probe, train
from embedsvc.types import Floats, Pooling, ProbeRecipe, Space, Windowing


def space(dim: int, layer: int = 1) -> Space:
    return Space(f"f{layer}", "tiny", "w", layer, Pooling.MEAN, Windowing(), "", False, dim)


@dataclass(frozen=True)
class Crowd:
    """How many labels, speakers of each and utterances of each; and how much speakers differ."""

    labels: int = 4
    speakers: int = 16
    utterances: int = 8
    dim: int = 16
    apart: float = 1.0
    voice: float = 1.0
    seed: int = 0

    def examples(self) -> Examples:
        chance = np.random.default_rng(self.seed)
        centers = chance.normal(size=(self.labels, self.dim)) * self.apart
        label = np.repeat(np.arange(self.labels), self.speakers)
        voices = centers[label] + chance.normal(size=(len(label), self.dim)) * self.voice
        place = np.repeat(np.arange(len(label)), self.utterances)
        vectors = voices[place] + 0.3 * chance.normal(size=(len(place), self.dim)) + 4
        return Examples(
            vectors.astype(np.float32),
            tuple(f"label {label[at]}" for at in place),
            tuple(f"speaker {at}" for at in place),
            (space(self.dim),),
        )


def strange(count: int, dim: int, seed: int = 5) -> Floats:
    """What is no speech: elsewhere, in all directions."""
    return (8 * np.random.default_rng(seed).normal(size=(count, dim))).astype(np.float32)


def silent(done: int, total: int, what: str) -> None:
    pass


def trained(examples: Examples, recipe: ProbeRecipe | None = None, **more: Floats | None) -> Probe:
    background = more.get("background")
    return train("tiny", 1, examples, recipe or ProbeRecipe(), background=background, tell=silent)


def picked(examples: Examples, which: np.ndarray) -> Examples:
    """Some of the examples."""
    return Examples(
        examples.vectors[which],
        tuple(np.asarray(examples.labels)[which].tolist()),
        tuple(np.asarray(examples.groups)[which].tolist()),
        examples.spaces,
    )
