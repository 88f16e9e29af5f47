"""Batches without padding: the clips of one batch are stretched to the same number of frames.

A clip may be said a quarter faster or slower and stays the same speech, so a batch of T frames
takes the clips that come close enough, and warps each in time to fill it exactly. What a batch
holds follows from the seed, its number and the rank of the process alone: a run that was stopped
goes on as if it had not been.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from embedsvc.training.corpus import Clip, Corpus
from embedsvc.training.phones import Inventory

Numbers = NDArray[np.int64]

WIDTHS = (32, 48, 64, 96, 128, 160, 208, 256)
"""Frames of the encoder that a batch may have: 0.64 to 5.12 s."""

FASTEST, SLOWEST = 1.25, 0.8
"""Limits of mel frames in a clip for each mel frame in the batch."""

UNEVEN = 0.12
"""Deviation of the logarithm of the speed within a clip."""

KNOT = 40
"""Mel frames from one change of speed to the next."""

UNKNOWN = -1
"""Label of a frame whose phone is not known."""

MANNERS = 3
"""Numbers that tell how a clip is said (see `Clip.manner`)."""


@dataclass(frozen=True)
class Mix:
    """What a batch holds: its frames, and shares of real clips and of clips in pairs."""

    frames: int = 1536
    real: float = 0.15
    pairs: float = 0.4


@dataclass(frozen=True)
class Batch:
    """Clips of one width: mel (B, 2T, 80), labels (B, T), and a number of each clip otherwise.

    `groups` is equal for clips of the same text, `voices` for those of the same speaker; `manners`
    (B, 3) are not numbers where nothing is known. `phones` lists the labels of those clips whose
    phones are known without their times, and is empty for the others.
    """

    mel: Tensor
    labels: Tensor
    languages: Tensor
    groups: Tensor
    voices: Tensor
    manners: Tensor
    real: Tensor
    phones: tuple[tuple[int, ...], ...]


class Sampler:
    """Chooses the clips of each batch."""

    def __init__(self, clips: Sequence[Clip], mix: Mix, seed: int) -> None:
        self._mix, self._seed = mix, seed
        self._shelves = [shelf for width in WIDTHS if (shelf := _shelf(clips, width)).size]
        amounts = np.array([shelf.size * shelf.width for shelf in self._shelves], float)
        self._chances = amounts / amounts.sum()

    def choose(self, step: int, rank: int) -> tuple[int, Numbers]:
        """Frames T of the batch, and which clips it holds."""
        random = np.random.default_rng((self._seed, step, rank))
        shelf = self._shelves[random.choice(len(self._shelves), p=self._chances)]
        count = max(2, self._mix.frames // shelf.width)
        chosen: list[int] = []
        if shelf.groups:
            for _ in range(random.binomial(count // 2, self._mix.pairs)):
                group = shelf.groups[random.integers(len(shelf.groups))]
                chosen.extend(_pair(group, random))
        if shelf.real:
            wanted = min(random.binomial(count, self._mix.real), count - len(chosen))
            chosen.extend(shelf.real.draw(random) for _ in range(wanted))
        rest = shelf.synthetic or shelf.real
        assert rest is not None
        chosen.extend(rest.draw(random) for _ in range(count - len(chosen)))
        return shelf.width, np.array(chosen[:count], np.int64)


@dataclass(frozen=True)
class Material:
    """All clips in tensors, on the device that trains."""

    mel: Tensor  # (N, 80) float16
    labels: Tensor  # (N,) int16
    begins: Tensor
    lengths: Tensor
    languages: Tensor
    groups: Tensor
    voices: Tensor
    manners: Tensor  # (clips, 3)
    real: Tensor
    phones: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls, corpus: Corpus, inventory: Inventory, languages: Sequence[str], device: torch.device
    ) -> "Material":
        """Material of a corpus; features stay on disk, mapped, when the device is the CPU."""
        clips = corpus.clips
        mel = torch.from_numpy(corpus.features)
        unknown = (math.nan,) * MANNERS
        on_device = {
            "labels": torch.from_numpy(frame_labels(clips, inventory, len(mel))),
            "begins": torch.tensor([clip.begin for clip in clips]),
            "lengths": torch.tensor([clip.frames for clip in clips]),
            "languages": torch.tensor([languages.index(clip.language) for clip in clips]),
            "groups": _numbered(clip.group or f"#{clip.begin}" for clip in clips),
            "voices": _numbered(map(speaker_of, clips)),
            "manners": torch.tensor([clip.manner or unknown for clip in clips]),
            "real": torch.tensor([not clip.synthesizer for clip in clips]),
        }
        return cls(
            mel=mel if device.type == "cpu" else mel.to(device),
            phones=tuple(
                () if clip.times else tuple(inventory.encode(clip.phones)) for clip in clips
            ),
            **{name: each.to(device) for name, each in on_device.items()},
        )

    def batch(self, width: int, chosen: Numbers, random: torch.Generator) -> Batch:
        """Clips `chosen`, each warped in time to `width` frames."""
        device = self.begins.device
        which = torch.from_numpy(chosen).to(device)
        places = self._places(width, which, random)  # (B, 2T)
        before = places.floor().long().clamp(max=len(self.mel) - 2)
        part = (places - before).float().unsqueeze(-1).clamp(0, 1)
        mel = torch.lerp(self.mel[before].float(), self.mel[before + 1].float(), part)
        # The second mel frame of each pair lies in the middle of what a frame hears.
        labels = self.labels[places.round().long().clamp(max=len(self.mel) - 1)[:, 1::2]].long()
        whole = (self.lengths[which] <= round(2 * width * FASTEST)).tolist()
        return Batch(
            mel=mel,
            labels=labels,
            languages=self.languages[which],
            groups=self.groups[which],
            voices=self.voices[which],
            manners=self.manners[which],
            real=self.real[which],
            phones=tuple(
                self.phones[clip] if known else ()
                for clip, known in zip(chosen, whole, strict=True)
            ),
        )

    def _places(self, width: int, which: Tensor, random: torch.Generator) -> Tensor:
        """Where each mel frame of the batch lies in the features: fractions, rising."""
        device, count = which.device, 2 * width
        lengths, most = self.lengths[which].float(), round(count * FASTEST)
        spans = lengths.clamp(max=most)
        draw = torch.rand(len(which), generator=random, device=device)
        offsets = self.begins[which] + (draw * (lengths - spans)).floor()
        knots = max(2, count // KNOT)
        speeds = torch.randn((len(which), 1, knots), generator=random, device=device)
        speeds = F.interpolate(speeds, size=count, mode="linear", align_corners=True)[:, 0]
        steps = (UNEVEN * speeds).exp().cumsum(dim=1)
        steps = (steps - steps[:, :1]) / (steps[:, -1:] - steps[:, :1])
        # float64 holds the place of any frame of hundreds of hours to a tiny part of a frame.
        return offsets.double()[:, None] + steps.double() * (spans - 1).double()[:, None]


def speaker_of(clip: Clip) -> str:
    """Who speaks; a variant of a synthesizer's voices is the same speaker in all languages."""
    _, variant, name = clip.voice.partition("+")
    if clip.synthesizer and not variant and "/" in clip.voice:
        name = "plain"
    return f"{clip.synthesizer or clip.corpus}/{name or clip.voice}"


def frame_labels(clips: Iterable[Clip], inventory: Inventory, frames: int) -> NDArray[np.int16]:
    """Phone label of each mel frame (N,): 0 for silence, `UNKNOWN` where no times are known."""
    labels = np.full(frames, UNKNOWN, np.int16)
    for clip in clips:
        if not clip.times:
            continue
        here = labels[clip.begin : clip.begin + clip.frames]
        here[:] = 0
        for phone, begin, end in zip(clip.phones, clip.times, clip.times[1:], strict=False):
            for label in inventory.encode((phone,)) if phone else ():
                here[begin:end] = label
    return labels


def _numbered(names: Iterable[str]) -> Tensor:
    """A number for each name, equal for equal ones, in the order they come."""
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])


@dataclass(frozen=True)
class _Languages:
    """Clips by language; each language is drawn by the square root of its clips."""

    clips: tuple[Numbers, ...]
    chances: NDArray[np.float64]

    @classmethod
    def of(cls, clips: Iterable[tuple[str, int]]) -> "_Languages | None":
        by_language: dict[str, list[int]] = defaultdict(list)
        for language, clip in clips:
            by_language[language].append(clip)
        if not by_language:
            return None
        parts = tuple(np.array(by_language[key], np.int64) for key in sorted(by_language))
        chances = np.sqrt([len(part) for part in parts])
        return cls(parts, chances / chances.sum())

    def draw(self, random: Generator) -> int:
        part = self.clips[random.choice(len(self.clips), p=self.chances)]
        return int(part[random.integers(len(part))])


@dataclass(frozen=True)
class _Shelf:
    """Clips that fit one width; a group holds clips of the same text, by language."""

    width: int
    size: int
    synthetic: _Languages | None
    real: _Languages | None
    groups: tuple[tuple[Numbers, ...], ...]


def _shelf(clips: Sequence[Clip], width: int) -> _Shelf:
    low, high = 2 * width * SLOWEST, 2 * width * FASTEST
    if width == max(WIDTHS):
        high = np.inf  # longer clips are cut
    fitting = [index for index, clip in enumerate(clips) if low <= clip.frames <= high]
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in fitting:
        if clips[index].group and clips[index].frames <= 2 * width * FASTEST:
            groups[clips[index].group][clips[index].language].append(index)
    return _Shelf(
        width=width,
        size=len(fitting),
        synthetic=_Languages.of(
            (clips[index].language, index) for index in fitting if clips[index].synthesizer
        ),
        real=_Languages.of(
            (clips[index].language, index) for index in fitting if not clips[index].synthesizer
        ),
        groups=tuple(
            tuple(np.array(part, np.int64) for part in languages.values())
            for _, languages in sorted(groups.items())
            if sum(map(len, languages.values())) > 1
        ),
    )


def _pair(group: Sequence[Numbers], random: Generator) -> tuple[int, int]:
    """Two clips of one text, in two languages if it has them."""
    if len(group) > 1:
        first, second = random.choice(len(group), 2, replace=False)
        return int(random.choice(group[first])), int(random.choice(group[second]))
    first, second = random.choice(group[0], 2, replace=False)
    return int(first), int(second)
