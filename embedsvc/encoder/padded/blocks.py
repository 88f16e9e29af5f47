"""A conformer block over padded utterances, from the parts of the packed one.

Letters in shapes: B utterances, R frames that each is padded to, C hidden size, H heads, D head
size, P distances in a relative-key table.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, FlexKernelOptions, flex_attention

from embedsvc.encoder.attention import Attention
from embedsvc.encoder.layers import Block, Convolution
from embedsvc.encoder.positions import Plain, Positions, RelativeKey, Rotary

TILE = 128
"""Queries, and keys, of one tile of attention."""

MOST_TAPS = 64
"""Width of the widest convolution: each of its taps is a line of the compiled program."""

_KERNEL: FlexKernelOptions = {"BACKEND": "TRITON"}
"""The kernel for whole sequences; others that may be chosen are for one query, or not for floats
beside the scores.
"""


def serves(block: Block) -> bool:
    """Whether `step` is for such a block: those of published models are.

    Sinusoids of the distance are not, since they give each pair of frames a score of its own.
    """
    known = type(block.attention.positions) in {Plain, RelativeKey, Rotary}
    return known and block.convolution.kernel.shape[-1] <= MOST_TAPS


def step(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
    """States (B, R, C) of the next layer, of which the first `lengths` (B,) in each row are real.

    What stands behind them is finite and changes none of them. Each length is at least 1.
    """
    states = torch.add(states, block.first(states), alpha=0.5)
    states = states + _attend(block.attention, block.attention_norm(states), lengths)
    states = states + _convolve(block.convolution, states)
    states = torch.add(states, block.second(states), alpha=0.5)
    return block.norm(states)


def _attend(part: Attention, states: Tensor, lengths: Tensor) -> Tensor:
    """Multi-head attention in which a frame sees the real ones of its own utterance."""
    rows, length, _ = states.shape
    first, *rest = part.parts
    turned = states
    if isinstance(part.positions, Rotary):
        turned = part.positions.turned(states, torch.arange(length, device=states.device))
    joint = torch.cat([first(turned), *(each(states) for each in rest)], dim=-1)
    joint = joint.view(rows, length, 3, part.heads, -1)
    queries, keys, values = joint.permute(2, 0, 3, 1, 4)  # each (B, H, R, D)
    mixed = attention(queries, keys, values, lengths, part.positions)
    return part.output(mixed.transpose(1, 2).reshape(rows, length, -1))


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, positions: Positions
) -> Tensor:
    """Values (B, H, R, D), mixed by queries and keys of the same shape; nothing is (R, R).

    A relative key enters as a product of the query with each of the P keys of the table, from
    which the score of a pair takes the one of its distance: Shaw et al. 2018.
    """
    keep = real_keys(lengths, queries.shape[2])
    score = _by_distance(queries, positions) if isinstance(positions, RelativeKey) else None
    mixed = flex_attention(
        queries, keys, values, score_mod=score, block_mask=keep, kernel_options=_KERNEL
    )
    assert isinstance(mixed, Tensor)  # nothing else was asked for
    return mixed


def _by_distance(queries: Tensor, positions: RelativeKey) -> Callable[..., Tensor]:
    """What is added to the score of a pair."""
    left, right = positions.left, len(positions.table) - 1 - positions.left
    # In float32 like all scores, in whatever numbers queries were multiplied: (B, H, R, P).
    near = torch.matmul(queries.float(), positions.table.T) / math.sqrt(queries.shape[-1])

    def score(product: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return product + near[row, head, query, (key - query).clamp(-left, right) + left]

    return score


def real_keys(lengths: Tensor, size: int) -> BlockMask:
    """Which of `size` keys are real, for tiles of queries and keys: no tile of padding is met.

    Of the tiles of a row, those before its end need no mask, and the one with its end does.
    """
    rows, tiles = len(lengths), -(-size // TILE)
    whole = (lengths // TILE).to(torch.int32)[:, None, None].expand(rows, 1, tiles)
    cut = (lengths % TILE > 0).to(torch.int32)[:, None, None].expand(rows, 1, tiles)
    order = torch.arange(tiles, dtype=torch.int32, device=lengths.device)
    shape = (rows, 1, tiles, tiles)
    # The one tile to be masked is the one behind all whole ones; only the first entry is read.
    last = torch.minimum(whole[..., None] + order, order[-1])

    def real(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        del head, query
        return key < lengths[row]

    return BlockMask.from_kv_blocks(
        cut.contiguous(),
        last.expand(shape).contiguous(),
        whole.contiguous(),
        order.expand(shape).contiguous(),
        BLOCK_SIZE=TILE,
        mask_mod=real,
        seq_lengths=(size, size),
        compute_q_blocks=False,
    )


def _convolve(part: Convolution, states: Tensor) -> Tensor:
    """Gated depthwise convolution; it looks only back, so that padding behind does not matter.

    As a sum of shifted states, which a compiler makes one loop of; a library's convolution would
    have it compile anew for each range of B and R that the library treats alike.
    """
    gated = F.glu(part.gate(part.norm(states)), dim=-1).to(part.kernel.dtype)
    taps = part.kernel.flatten(1).T  # (K, C)
    length = states.shape[1]
    spaced = F.pad(gated, (0, 0, len(taps) - 1, 0))
    swept = taps[0] * spaced[:, :length]
    for number in range(1, len(taps)):
        swept = swept + taps[number] * spaced[:, number : number + length]
    return part.outer(part.activation(part.inner_norm(swept)))
