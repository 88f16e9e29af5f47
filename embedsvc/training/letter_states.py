"""Hidden states of the clips of a shard, kept on disk: half of them heard in other rooms."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from embedsvc.audio import stacked
from embedsvc.encoder import Encoder
from embedsvc.training.augmentation import Chances, augment, normalize
from embedsvc.training.corpus import Corpus
from embedsvc.types import Ask, Frames

PASS_FRAMES = 3000
"""Frames of one pass: one minute."""

Tell = Callable[[int, int], None]
"""Told how many of how many frames are done."""


@dataclass(frozen=True)
class States:
    """States (frames, D) in float16 of clips one after the other, from `starts` (clips + 1)."""

    values: NDArray[np.float16]
    starts: tuple[int, ...]

    def of(self, clip: int) -> NDArray[np.float16]:
        """States (T, D) of a clip."""
        return self.values[self.starts[clip] : self.starts[clip + 1]]

    def length(self, clip: int) -> int:
        """Its frames."""
        return self.starts[clip + 1] - self.starts[clip]


def starts_of(shard: Corpus) -> tuple[int, ...]:
    """Where the states of each clip begin, and where the last end."""
    return (0, *accumulate(clip.frames // 2 for clip in shard.clips))


def open_states(path: Path, shard: Corpus, dim: int) -> States:
    """States that were written before."""
    starts = starts_of(shard)
    values = np.memmap(path, "<f2", "r", shape=(starts[-1], dim))
    return States(values, starts)


def name_of(encoder: Encoder, shard: Corpus, layer: int) -> str:
    """Name of a file of states: it changes with whatever decides what is in it."""
    return f"{encoder.weights[:12]}-{shard.digest[:12]}-layer{layer}.f16"


def write_states(
    encoder: Encoder, shard: Corpus, layers: Sequence[int], folder: Path, tell: Tell
) -> None:
    """Write the states of `layers` that are not there yet.

    Every other clip is changed as another room, microphone and line would change it.
    """
    paths = {layer: folder / name_of(encoder, shard, layer) for layer in layers}
    missing = tuple(layer for layer in layers if not paths[layer].is_file())
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    starts = starts_of(shard)
    drafts = {layer: paths[layer].with_suffix(".partial") for layer in missing}
    kept = {
        layer: np.memmap(draft, "<f2", "w+", shape=(starts[-1], encoder.dim))
        for layer, draft in drafts.items()
    }
    done = 0
    random = torch.Generator().manual_seed(crc32(shard.digest.encode()))
    for clips, frames in _passes(shard, random):
        asks = [Ask(missing, keep=(0, len(each))) for each in frames]
        for clip, answer in zip(clips, encoder.encode(frames, asks), strict=True):
            for layer in missing:
                kept[layer][starts[clip] : starts[clip + 1]] = answer.frames[layer]
        done += sum(map(len, frames))
        tell(done, starts[-1])
    for layer, values in kept.items():
        values.flush()
        drafts[layer].rename(paths[layer])


def _passes(shard: Corpus, random: torch.Generator) -> Iterator[tuple[list[int], list[Frames]]]:
    """Clips and their features, those of one length changed together."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, clip in enumerate(shard.clips):
        by_length[clip.frames // 2].append(number)
    clips: list[int] = []
    frames: list[Frames] = []
    waiting = 0
    for length in sorted(by_length):
        mine = by_length[length]
        for changed in (False, True):
            part = [clip for clip in mine if clip % 2 == changed]
            clips += part
            frames += _heard(shard, part, length, random if changed else None)
        waiting += length * len(mine)
        if waiting >= PASS_FRAMES:
            yield clips, frames
            clips, frames, waiting = [], [], 0
    if clips:
        yield clips, frames


def _heard(
    shard: Corpus, clips: Sequence[int], length: int, random: torch.Generator | None
) -> list[Frames]:
    """Features of clips of one length, changed where there is a generator."""
    mels = [shard.log_mel(shard.clips[clip])[: 2 * length].astype(np.float32) for clip in clips]
    if random is None or not mels:
        return [stacked(mel) for mel in mels]
    changed = augment(torch.from_numpy(np.stack(mels)), Chances(), random)
    return [Frames(each) for each in normalize(changed).numpy()]
