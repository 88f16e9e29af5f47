"""Figures of a training as it goes, on clips whose texts it never hears."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.evaluation.phones import distance
from embedsvc.training.arithmetic import autocast
from embedsvc.training.augmentation import normalize
from embedsvc.training.batches import UNKNOWN, Material
from embedsvc.training.corpus import Clip
from embedsvc.training.network import TrainableEncoder
from embedsvc.training.objectives import Heads
from embedsvc.training.team import Team

SHARE = 64
"""One text in so many is kept to validate on."""

CLIPS = 600
SHORTEST, LONGEST = 50, 640
"""Mel frames of a clip that is used."""


@dataclass(frozen=True)
class Figures:
    """Shares from 0 to 1 over the clips of all processes."""

    phone_error: float
    frame_accuracy: float
    language_accuracy: float
    content_recall: float


def is_kept(clip: Clip) -> bool:
    """Whether a clip's text is kept to validate on; the same text always is or never is."""
    name = clip.group or clip.text or f"{clip.corpus}/{clip.voice}/{clip.begin}"
    return hashlib.sha256(name.encode()).digest()[0] % SHARE == 0


def choose(clips: Sequence[Clip]) -> list[int]:
    """Synthetic clips to validate on: at most `CLIPS`, the same each time."""
    fitting = [
        index
        for index, clip in enumerate(clips)
        if is_kept(clip) and clip.times and SHORTEST <= clip.frames <= LONGEST
    ]
    # Whole groups, so that a clip's fellows are there to be found.
    fitting.sort(key=lambda index: (clips[index].group or "~", index))
    return fitting[:CLIPS]


class Validator:
    """Measures the encoder and its heads on chosen clips, each process its part."""

    def __init__(self, material: Material, chosen: Sequence[int], team: Team) -> None:
        self._material, self._team = material, team
        self._all = list(chosen)
        self._mine = self._all[team.rank :: team.size]

    @torch.inference_mode()
    def measure(self, encoder: TrainableEncoder, heads: Heads) -> Figures:
        """Figures now; all processes call it."""
        encoder.eval()
        heads.eval()
        material, device = self._material, self._material.begins.device
        counts = torch.zeros(5, device=device)  # errors, phones, frames right, frames, languages
        vectors = torch.zeros((len(self._all), heads.layout.content), device=device)
        for place, clip in zip(range(self._team.rank, len(self._all), self._team.size), self._mine,
                               strict=True):  # fmt: skip
            features, labels = self._clip(clip)
            with autocast(device):
                layers = encoder(features)
                scores = heads.phone_scores(layers)[0]
            found = scores.argmax(dim=-1)
            counts += _counts(found, labels, device)
            language = heads.language(layers).argmax(dim=-1)[0]
            counts[4] += language == material.languages[clip]
            vectors[place] = F.normalize(heads.content(layers), dim=-1)[0]
        encoder.train()
        heads.train()
        errors, phones, right, frames, languages = self._team.total(counts).tolist()
        recall = self._recall(self._team.total(vectors))
        return Figures(
            errors / max(phones, 1),
            right / max(frames, 1),
            languages / max(len(self._all), 1),
            recall,
        )

    def _clip(self, clip: int) -> tuple[Tensor, Tensor]:
        """Features (1, T, 160) and labels (T,) of one clip, unchanged."""
        begin = int(self._material.begins[clip])
        frames = int(self._material.lengths[clip]) // 2 * 2
        mel = self._material.mel[begin : begin + frames].float()[None]
        return normalize(mel), self._material.labels[begin : begin + frames][1::2].long()

    def _recall(self, vectors: Tensor) -> float:
        """Share of the clips with a fellow whose nearest other clip is one."""
        groups = self._material.groups[
            torch.tensor(self._all, dtype=torch.long, device=vectors.device)
        ]
        scores = (vectors @ vectors.T).fill_diagonal_(-2.0)
        same = (groups[:, None] == groups[None]).fill_diagonal_(fill_value=False)
        asked = same.any(dim=1)
        hits = same[torch.arange(len(groups), device=vectors.device), scores.argmax(dim=1)]
        return float(hits[asked].float().mean()) if asked.any() else 0.0


def _counts(found: Tensor, labels: Tensor, device: torch.device) -> Tensor:
    known = labels != UNKNOWN
    right = int((found[known] == labels[known]).sum())
    wanted = _collapse(labels)
    values = [distance(_collapse(found), wanted), len(wanted), right, int(known.sum()), 0]
    return torch.tensor(values, dtype=torch.float32, device=device)


def _collapse(labels: Tensor) -> list[int]:
    """Phones without repeats and silence."""
    values = labels.cpu().numpy()
    changed = np.flatnonzero(np.diff(values, prepend=-2))
    return [int(each) for each in values[changed] if each > 0]
