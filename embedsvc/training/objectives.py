"""What the encoder learns from a batch.

- phones: which phone each frame is in, where their times are known; and, by connectionist temporal
  classification (Graves et al. 2006), which phones a clip has where only these are known.
- language: of a clip, from the mean and deviation of a middle layer.
- content: clips of the same text closer than others (van den Oord et al. 2018, InfoNCE).
- codes: what was hidden, as the nearest of random code vectors (Chiu et al. 2022, BEST-RQ).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor, nn

from embedsvc.training.batches import UNKNOWN, Batch

TEMPERATURE = 0.07
CODE_SIZE = 16


@dataclass(frozen=True)
class Weights:
    """How much each objective counts; nothing is computed for one that does not."""

    phones: float = 1.0
    early_phones: float = 0.0
    ctc: float = 0.05
    language: float = 0.1
    content: float = 0.1
    codes: float = 0.1


@dataclass(frozen=True)
class Layout:
    """Layers that are taught, and sizes of what is told apart."""

    phone_layer: int
    early_layer: int
    pooled_layer: int
    phones: int
    languages: int
    content: int = 128
    codebooks: int = 4
    codes: int = 512


class Heads(nn.Module):
    """Maps from hidden states to what is learnt; only that of the phones outlives training."""

    def __init__(self, hidden_size: int, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.phones = nn.Linear(hidden_size, layout.phones)
        self.early_phones = nn.Linear(hidden_size, layout.phones)
        # Batch normalization: after layer normalization a large part stays the same for all
        # clips, and a language was found half as often.
        self.pooled_norm = nn.BatchNorm1d(2 * hidden_size)
        self.language = nn.Linear(2 * hidden_size, layout.languages)
        self.content = nn.Linear(2 * hidden_size, layout.content)
        self.codes = nn.Linear(hidden_size, layout.codebooks * layout.codes)

    def pooled(self, states: Tensor) -> Tensor:
        """Mean and deviation over time, normalized over the batch: (B, 2C) of states (B, T, C)."""
        states = states.float()
        spread = (states.var(dim=1, unbiased=False) + 1e-5).sqrt()
        normal: Tensor = self.pooled_norm(torch.cat((states.mean(dim=1), spread), dim=-1))
        return normal


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
    states = layers[heads.layout.phone_layer]
    scores = heads.phones(states).float()
    known = batch.labels != UNKNOWN
    if known.any():
        found["phones"] = F.cross_entropy(scores[known], batch.labels[known])
        if weights.early_phones:
            early = heads.early_phones(layers[heads.layout.early_layer]).float()
            found["early_phones"] = F.cross_entropy(early[known], batch.labels[known])
    if weights.ctc and any(batch.phones):
        found["ctc"] = _ctc(scores, batch)
    if weights.language or weights.content:
        pooled = heads.pooled(layers[heads.layout.pooled_layer])
        if weights.language:
            found["language"] = F.cross_entropy(heads.language(pooled), batch.languages)
        if weights.content:
            content = _content(F.normalize(heads.content(pooled), dim=-1), batch.groups)
            if content is not None:
                found["content"] = content
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
