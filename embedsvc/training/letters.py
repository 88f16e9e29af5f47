"""From texts to heads that write letters: speech, its states, training, and a model directory.

OUT/speech/LANGUAGE-PART/    clips that espeak-ng said
OUT/states/                  what a model makes of them
OUT/heads/NAME/              the run of each head

Each part that is there is not made again.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.encoder import Encoder
from embedsvc.encoder.ctc.letter_files import Written
from embedsvc.errors import FailedPrecondition
from embedsvc.training.arithmetic import on_threads
from embedsvc.training.corpus import Corpus
from embedsvc.training.letter_speech import (
    TRAIN,
    VALIDATION,
    Speech,
    make_speech,
    read_shard,
    vocabulary,
)
from embedsvc.training.letter_states import States, name_of, open_states, write_states
from embedsvc.training.letter_training import Material, Recipe, Told, handicap, shape_of, train
from embedsvc.training.state import Run

PREFIX = "letters-"
LICENSE = "CC-BY-SA-4.0"
"""Of the texts, and so of what is made from them."""

BIAS = "output.bias"
VALIDATED = "character_error_rate_validation"

Tell = Callable[[str, int, int], None]
"""Told (what, done, total)."""


@dataclass(frozen=True)
class Wanted:
    """A head for one or more languages, of ISO 639-3."""

    languages: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return PREFIX + "-".join(self.languages)


def prepare(encoder: Encoder, speech: Speech, layer: int, out: Path, tell: Tell) -> None:
    """Make speech of all languages, and the states of a layer."""
    make_speech(speech, out / "speech", tell)
    for code in speech.languages:
        for part in (TRAIN, VALIDATION):
            name = f"{code}-{part}"
            shard = read_shard(out / "speech" / name)
            write_states(encoder, shard, (layer,), out / "states", partial(tell, f"states {name}"))


def learn(
    encoder: Encoder,
    wanted: Wanted,
    recipe: Recipe,
    out: Path,
    threads: int,
    report: Callable[[Mapping[str, Any]], None],
) -> Written:
    """Train a head, and give it as it is to be written down."""
    material = _material(encoder, wanted, recipe.layer, out)
    labels = material.vocabulary
    folder = out / "heads" / wanted.name
    train(material, recipe, folder, threads, report)
    saved = Run(folder).last()
    if saved is None:
        raise FailedPrecondition(f"`--set` must leave an epoch to train, but left none of {folder}")
    with on_threads(threads):
        less, counts = handicap(saved.model, material)
    tensors = {name: each.numpy().astype(np.float32) for name, each in saved.model.items()}
    tensors[BIAS][labels.blank] -= less
    report({"kind": "blank", "handicap": less, "character_errors": counts.rate})
    return Written(
        name=wanted.name,
        layer=recipe.layer,
        languages=wanted.languages,
        labels=labels.labels,
        shape=shape_of(material, recipe),
        tensors=tensors,
        license=LICENSE,
        figures={VALIDATED: round(counts.rate, 4)},
    )


def _material(encoder: Encoder, wanted: Wanted, layer: int, out: Path) -> Material:
    labels = vocabulary(wanted.languages)
    shards = {
        part: [read_shard(out / "speech" / f"{code}-{part}") for code in wanted.languages]
        for part in (TRAIN, VALIDATION)
    }
    told = {
        part: tuple(Told.of(each, _states(encoder, each, layer, out), labels) for each in mine)
        for part, mine in shards.items()
    }
    digest = _digest(encoder, shards[TRAIN])
    return Material(told[TRAIN], told[VALIDATION], labels, digest, wanted.languages)


def _states(encoder: Encoder, shard: Corpus, layer: int, out: Path) -> States:
    return open_states(out / "states" / name_of(encoder, shard, layer), shard, encoder.dim)


def _digest(encoder: Encoder, shards: Sequence[Corpus]) -> str:
    """What a head learns from, in short: the model and the clips."""
    joined = "/".join([encoder.weights, *(shard.digest for shard in shards)])
    return hashlib.sha256(joined.encode()).hexdigest()
