"""What the encoder learns from a batch.

- phones: which phone each frame is in, where their times are known; and, by connectionist temporal
  classification (Graves et al. 2006), which phones a clip has where only these are known.
- language: of a clip, from the mean and deviation of a layer.
- content: clips of the same text closer than others (van den Oord et al. 2018, InfoNCE).
- voice: who speaks, and how fast, high and lively; what the other objectives would forget.
- codes: what was hidden, as the nearest of random code vectors (Chiu et al. 2022, BEST-RQ).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor, nn

from embedsvc.training.batches import MANNERS, UNKNOWN, Batch

TEMPERATURE = 0.07
CODE_SIZE = 16
MANNER_DEVIATION = 0.2
"""About that of what synthesizers are told (see `Clip.manner`)."""


@dataclass(frozen=True)
class Weights:
    """How much each objective counts; nothing is computed for one that does not."""

    phones: float = 1.0
    ctc: float = 0.05
    language: float = 0.1
    content: float = 0.1
    voice: float = 0.05
    codes: float = 0.1


@dataclass(frozen=True)
class Layers:
    """Which layer each objective teaches, from 1; codes are those of the last."""

    phones: int = 6
    language: int = 4
    content: int = 4
    voice: int = 3


@dataclass(frozen=True)
class Layout:
    """Layers that are taught, and sizes of what is told apart."""

    layers: Layers
    phones: int
    languages: int
    voices: int
    content: int = 128
    codebooks: int = 4
    codes: int = 512


class PooledHead(nn.Module):
    """A map of the mean and deviation over time of a layer's states."""

    def __init__(self, hidden_size: int, layer: int, outputs: int) -> None:
        super().__init__()
        self.layer = layer
        # Batch normalization: after layer normalization a large part stays the same for all
        # clips, and a language was found half as often.
        self.norm = nn.BatchNorm1d(2 * hidden_size)
        self.linear = nn.Linear(2 * hidden_size, outputs)

    def forward(self, layers: list[Tensor]) -> Tensor:
        """Outputs (B, N) of hidden states (B, T, C)."""
        states = layers[self.layer].float()
        spread = (states.var(dim=1, unbiased=False) + 1e-5).sqrt()
        mapped: Tensor = self.linear(self.norm(torch.cat((states.mean(dim=1), spread), dim=-1)))
        return mapped


class Heads(nn.Module):
    """Maps from hidden states to what is learnt; only that of the phones outlives training."""

    def __init__(self, hidden_size: int, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        layers = layout.layers
        self.phones = nn.Linear(hidden_size, layout.phones)
        self.language = PooledHead(hidden_size, layers.language, layout.languages)
        self.content = PooledHead(hidden_size, layers.content, layout.content)
        self.voice = PooledHead(hidden_size, layers.voice, layout.voices)
        self.manner = PooledHead(hidden_size, layers.voice, MANNERS)
        self.codes = nn.Linear(hidden_size, layout.codebooks * layout.codes)

    def phone_scores(self, layers: list[Tensor]) -> Tensor:
        """Scores (B, T, phones) before the softmax."""
        scores: Tensor = self.phones(layers[self.layout.layers.phones]).float()
        return scores


class Quantizer(nn.Module):
    """Random projections and code vectors that never change: BEST-RQ's targets."""

    projection: Tensor
    codebooks: Tensor

    def __init__(self, features: int, layout: Layout, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        projection = torch.randn(layout.codebooks, features, CODE_SIZE, generator=random)
        codebooks = torch.randn(layout.codebooks, layout.codes, CODE_SIZE, generator=random)
        self.register_buffer("projection", projection / features**0.5, persistent=False)
        self.register_buffer("codebooks", F.normalize(codebooks, dim=-1), persistent=False)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Codes (K, N) of features (N, 160)."""
        projected = F.normalize(features @ self.projection, dim=-1)  # (K, N, CODE_SIZE)
        return (projected @ self.codebooks.transpose(1, 2)).argmax(dim=-1)


def losses(layers: list[Tensor], heads: Heads, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """Loss of each objective that counts and has something to learn from in this batch."""
    found: dict[str, Tensor] = {}
    scores = heads.phone_scores(layers)
    known = batch.labels != UNKNOWN
    if known.any():
        found["phones"] = F.cross_entropy(scores[known], batch.labels[known])
    if weights.ctc and any(batch.phones):
        found["ctc"] = _ctc(scores, batch)
    if weights.language:
        found["language"] = F.cross_entropy(heads.language(layers), batch.languages)
    if weights.content:
        content = _content(F.normalize(heads.content(layers), dim=-1), batch.groups)
        if content is not None:
            found["content"] = content
    if weights.voice:
        found["voice"] = F.cross_entropy(heads.voice(layers), batch.voices)
        found["voice"] = found["voice"] + _manner(heads.manner(layers), batch.manners)
    return found


def code_loss(states: Tensor, targets: Tensor, hidden: Tensor, heads: Heads) -> Tensor:
    """Loss of the codes (K, N) of the N frames that were `hidden` (B, T)."""
    scores = heads.codes(states[hidden]).float()
    layout = heads.layout
    split = scores.view(len(scores), layout.codebooks, layout.codes).transpose(0, 1)
    return F.cross_entropy(split.reshape(-1, layout.codes), targets.reshape(-1))


def _ctc(scores: Tensor, batch: Batch) -> Tensor:
    """Mean over the phones of the clips that fit; silence is the blank."""
    frames = scores.shape[1]
    rows = [row for row, phones in enumerate(batch.phones) if 0 < len(phones) <= frames // 2]
    if not rows:
        return scores.sum() * 0.0
    lengths = torch.tensor([len(batch.phones[row]) for row in rows])
    targets = torch.tensor([label for row in rows for label in batch.phones[row]])
    likely = scores[rows].log_softmax(dim=-1).transpose(0, 1)
    times = torch.full((len(rows),), frames)
    targets = targets.to(scores.device)
    total = F.ctc_loss(likely, targets, times, lengths, reduction="sum", zero_infinity=True)
    return total / int(lengths.sum())


def _manner(found: Tensor, told: Tensor) -> Tensor:
    """Squared error of what a synthesizer was told, in units of the usual deviation."""
    known = told.isfinite().all(dim=1)
    if not known.any():
        return found.sum() * 0.0
    return F.mse_loss(found[known], told[known] / MANNER_DEVIATION)


def _content(vectors: Tensor, groups: Tensor) -> Tensor | None:
    """Each clip with another of its group must find it among all; None when there are none."""
    itself = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    same = (groups[:, None] == groups[None]) & ~itself
    paired = same.any(dim=1)
    if not paired.any():
        return None
    scores = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -1e4)
    likely = scores.log_softmax(dim=-1)
    right = torch.where(same, likely, 0.0).sum(dim=1) / same.sum(dim=1).clamp(min=1)
    return -right[paired].mean()
