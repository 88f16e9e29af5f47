"""How attention knows where a frame is, exact and in bounded memory.

Letters in shapes: N frames of all utterances together, T frames of one utterance, B query rows of
one block, C hidden size, H heads, D head size, P distances in a relative-key table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.encoder import native
from embedsvc.encoder.linear import Linear

ROWS = 256
"""Query rows in one block: bounds the memory for position scores to H x B x (T + B)."""


class Positions(Protocol):
    """How attention knows where a frame is."""

    def turn(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) to make queries and keys from, perhaps rotated."""

    def attend(self, joint: Tensor, lengths: Sequence[int]) -> Tensor:
        """Values (N, C), mixed by the queries and keys that stand with them in (N, 3, H, D)."""


class Biases(Protocol):
    """Position scores of one utterance, made block by block."""

    def rows(self, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """Block of queries (H, B, D) for the product with keys, and of scores (H, B, T)."""


@dataclass(frozen=True)
class Plain:
    """Neither a position score nor a rotation."""

    def turn(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """`states` as they are."""
        del lengths
        return states

    def attend(self, joint: Tensor, lengths: Sequence[int]) -> Tensor:
        """Each utterance on its own, a block of queries at a time."""
        joint = joint.float()  # scores are float32, in whatever numbers these were multiplied
        mixed = joint.new_empty(len(joint), joint.shape[2] * joint.shape[3])
        sizes = list(lengths)
        for part, out in zip(
            joint.split_with_sizes(sizes), mixed.split_with_sizes(sizes), strict=True
        ):
            self._attend_one(part, out)
        return mixed

    def biases(self, queries: Tensor) -> Biases:
        """Position scores of one utterance with queries (H, T, D); none here."""
        return _Plain(queries)

    def _attend_one(self, joint: Tensor, out: Tensor) -> None:
        """One utterance: joint (T, 3, H, D) into out (T, C)."""
        queries, keys, values = joint.permute(1, 2, 0, 3)  # each (H, T, D)
        biases = self.biases(queries)
        for begin in range(0, len(joint), ROWS):
            end = min(begin + ROWS, len(joint))
            rows, scores = biases.rows(begin, end)
            mask = None if scores is None else scores[None]
            mixed = F.scaled_dot_product_attention(rows[None], keys[None], values[None], mask)
            out[begin:end].view(end - begin, len(queries), -1).copy_(mixed[0].transpose(0, 1))


@dataclass(frozen=True)
class _Plain:
    queries: Tensor

    def rows(self, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """Block of queries alone."""
        return self.queries[:, begin:end], None


@dataclass(frozen=True)
class Rotary(Plain):
    """Rotation of the states before queries and keys (Su et al. 2021); `rates` are (D / 2,)."""

    rates: Tensor
    heads: int

    def turn(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """Each half of each head turned by an angle that grows with the frame's position."""
        device = states.device
        return self.turned(states, torch.cat([torch.arange(n, device=device) for n in lengths]))

    def turned(self, states: Tensor, positions: Tensor) -> Tensor:
        """States (..., T, C) of frames at `positions` (T,) of their utterances."""
        angles = positions[:, None] * self.rates
        angles = torch.cat((angles, angles), dim=-1)[:, None]  # (T, 1, D)
        heads = states.view(*states.shape[:-1], self.heads, -1)
        first, second = heads.chunk(2, dim=-1)
        turned = heads * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()
        return turned.view_as(states)


@dataclass(frozen=True)
class RelativeKey(Plain):
    """A learned key for each clipped distance (Shaw et al. 2018); `table` is (P, D).

    `distances` is the same table for the kernels, where these can run.
    """

    table: Tensor
    left: int
    distances: native.Distances | None = None

    @classmethod
    def of(cls, table: Tensor, left: int) -> "RelativeKey":
        """With kernels if they can run here."""
        return cls(table, left, native.Distances.of(table, left))

    def attend(self, joint: Tensor, lengths: Sequence[int]) -> Tensor:
        """By the kernels, or as it is defined."""
        if self.distances is None:
            return super().attend(joint, lengths)
        return native.attend(joint, self.distances, lengths)

    def biases(self, queries: Tensor) -> Biases:
        """Scores of every query with the P keys; far cheaper than a key for each pair."""
        scores = torch.matmul(queries, self.table.T) / math.sqrt(queries.shape[-1])
        return _Clipped(queries, scores, self.left)


@dataclass(frozen=True)
class _Clipped:
    queries: Tensor
    scores: Tensor  # (H, T, P)
    left: int

    def rows(self, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """Distances up to the table's ends come from the table, farther ones repeat its ends."""
        heads, length, distances = self.scores.shape
        block = self.scores[:, begin:end]
        width = length + end - begin - 1
        start = end - 1 - self.left  # of the table, among the columns of the band
        low, high = max(start, 0), min(start + distances, width)
        band = block.new_empty(heads, end - begin, width)
        band[..., :low] = block[..., :1]
        band[..., low:high] = block[..., low - start : high - start]
        band[..., high:] = block[..., -1:]
        return self.queries[:, begin:end], skew(band, length)


@dataclass(frozen=True)
class Relative(Plain):
    """Sinusoids of the distance, with two learned biases (Dai et al. 2019); biases are (H, D)."""

    projection: Linear
    content: Tensor
    position: Tensor

    def biases(self, queries: Tensor) -> Biases:
        """Scores of every query with the projected sinusoid of each distance it has."""
        heads, length, size = queries.shape
        waves = self.projection(sinusoids(length, heads * size, queries.device))  # (2T - 1, C)
        keys = waves.view(2 * length - 1, heads, size).permute(1, 2, 0)
        return _Sinusoidal(queries + self.content[:, None], queries + self.position[:, None], keys)


@dataclass(frozen=True)
class _Sinusoidal:
    queries: Tensor
    shifted: Tensor
    keys: Tensor  # (H, D, 2T - 1), from the distance T - 1 behind to T - 1 ahead

    def rows(self, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """Distances that a block can have are one stretch of all distances."""
        _, length, size = self.queries.shape
        keys = self.keys[..., length - end : 2 * length - 1 - begin]
        band = torch.matmul(self.shifted[:, begin:end], keys) / math.sqrt(size)
        return self.queries[:, begin:end], skew(band, length)


def skew(band: Tensor, length: int) -> Tensor:
    """Scores by key (H, B, T) from scores by distance (H, B, T + B - 1), without a copy.

    Row r of the result starts one column further left than row r - 1, so that column j of row r
    is the distance from query to key: the stride between rows is one short of a row.
    """
    heads, rows, width = band.shape
    strides = (rows * width, width - 1, 1)
    return band.as_strided((heads, rows, length), strides, band.storage_offset() + rows - 1)


def sinusoids(length: int, size: int, device: torch.device | None = None) -> Tensor:
    """Sines and cosines (2 length - 1, size) of the distances length - 1 down to 1 - length."""
    even = torch.arange(0, size, 2, device=device).float()
    rates = torch.exp(even * -(math.log(10_000.0) / size))
    angles = torch.arange(length - 1, -length, -1, device=device).float()[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).view(2 * length - 1, size)
