"""A corpus so small that a training on it takes seconds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.training.corpus import CLIPS, FEATURES, MANIFEST, Clip, digest, line_of
from embedsvc.training.recipe import Recipe, read_recipe, shipped

PHONES = ("a", "s", "m", "i")
SMALL = {
    "model.hidden_size": "32", "model.intermediate_size": "64", "model.layers": "2",
    "model.convolution": "7", "layers.phones": "2", "layers.language": "1",
    "layers.content": "1", "layers.voice": "1",
    "output.layer": "1", "output.dim": "16", "output.clips": "60",
    "mix.frames": "128", "schedule.warmup": "2",
    "schedule.save_every": "3", "schedule.validate_every": "3",
}  # fmt: skip


def recipe(steps: int, **changes: str) -> Recipe:
    return read_recipe(shipped("mini"), SMALL | {"schedule.steps": str(steps)} | changes)


def ignore(record: Mapping[str, Any]) -> None:
    """A report that nobody reads."""
    del record


def write_sounds(folder: Path) -> None:
    """Phones that sound different, in clips of two languages, some of people."""
    random = np.random.default_rng(1)
    sounds = random.normal(0, 3, (len(PHONES), 80))
    clips, features, begin = [], [], 0
    for number in range(600):
        spoken = random.integers(0, len(PHONES), 6)
        frames = int(random.integers(66, 130))
        times = np.linspace(0, frames, 7).astype(int)
        mel = random.normal(-6, 0.5, (frames, 80))
        for phone, start, end in zip(spoken, times, times[1:], strict=False):
            mel[start:end] += sounds[phone]
        person = number % 5 == 0
        clip = Clip(
            corpus="people" if person else "synthetic",
            synthesizer="" if person else "test",
            language=("deu", "fra")[number % 2],
            voice=f"voice {number % 7}",
            group=f"line:{number // 4}",
            text="",
            begin=begin,
            frames=frames,
            phones=tuple(PHONES[phone] for phone in spoken),
            times=() if person else tuple(times.tolist()),
            manner=() if person else (number % 3 / 3, 0.5, 0.2),
        )
        clips.append(clip)
        features.append(mel.astype("<f2"))
        begin += frames
    (folder / CLIPS).write_text("".join(map(line_of, clips)), encoding="utf-8")
    (folder / FEATURES).write_bytes(np.concatenate(features).tobytes())
    manifest = {"sha256": {CLIPS: digest(folder / CLIPS)}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
