"""The kernels as functions of tensors.

Letters in shapes: N frames of all utterances together, K inputs and M outputs of a map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from embedsvc.encoder.native.loader import Library, library
from embedsvc.encoder.native.values import Rows, Weights
from embedsvc.encoder.norm import Norm

PANEL = 64
"""Outputs of a product that are computed together."""

TOGETHER = 6
"""Frames of a product that are computed together."""

LANES = 16
LARGEST_HEAD = 64
STRIPE = 64
"""Keys that attention packs together."""

_NUMBERS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


@dataclass(frozen=True)
class Distances:
    """Learned keys (D, count rounded up to LANES) of the distances from -left on, as columns."""

    columns: Tensor
    count: int
    left: int

    @classmethod
    def of(cls, table: Tensor, left: int) -> "Distances | None":
        """From a table (count, D); None where `attend` can not run, or not with such heads."""
        count, size = table.shape
        if not serves(table) or size % LANES or size > LARGEST_HEAD:
            return None
        columns = table.new_zeros(size, -(-count // LANES) * LANES)
        columns[:, :count] = table.T
        return cls(columns, count, left)


def serves(tensor: Tensor) -> bool:
    """Whether the kernels can run where a tensor is."""
    return tensor.device.type == "cpu" and library() is not None


def quantize(states: Tensor, norm: Norm | None, *, swished: bool) -> Rows:
    """States (N, K), normalized, activated, then each row in integers of its own range."""
    states = states.contiguous()
    count, size = states.shape
    padded = -(-size // 4) * 4
    values = torch.empty((-(-count // TOGETHER) * TOGETHER, padded), dtype=torch.uint8)
    scale, low = torch.empty(count), torch.empty(count)
    _library().functions.quantize(
        states.data_ptr(),
        _NUMBERS[states.dtype],
        norm.weight.data_ptr() if norm else None,
        norm.bias.data_ptr() if norm else None,
        norm.epsilon if norm else 0.0,
        int(swished),
        values.data_ptr(),
        scale.data_ptr(),
        low.data_ptr(),
        count,
        size,
        padded,
        torch.get_num_threads(),
    )
    return Rows(values, scale, low)


def multiply(rows: Rows, weights: Weights, out: Tensor) -> Tensor:
    """The product of rows (N, K) with weights, by its ending into `out` (N, M), given back."""
    _library().functions.multiply_quantized(
        rows.values.data_ptr(),
        rows.scale.data_ptr(),
        rows.low.data_ptr(),
        weights.integers.data_ptr(),
        weights.rates.data_ptr(),
        weights.sums.data_ptr(),
        weights.bias.data_ptr(),
        out.data_ptr(),
        _NUMBERS[out.dtype],
        int(weights.ending),
        len(rows.scale),
        rows.values.shape[1],
        out.shape[1],
        len(weights.integers),
        torch.get_num_threads(),
    )
    return out


def panel_order(outputs: int, *, gated: bool) -> Tensor:
    """Which output stands where in the panels; -1 for none.

    A gated panel has half its outputs from the first half of all, and beside them their gates.
    """
    if not gated:
        return _padded(torch.arange(outputs), PANEL)
    halves = torch.arange(outputs).view(2, outputs // 2)
    return torch.cat(
        [_padded(half, PANEL // 2).view(-1, PANEL // 2) for half in halves], 1
    ).flatten()


def lined_up(each: Tensor, order: Tensor) -> Tensor:
    """What belongs to each output (M, ...), in another order; zeros where there is none."""
    lined = each[order.clamp_min(0)]
    lined[order < 0] = 0
    return lined.contiguous()


def panels(rows: Tensor) -> Tensor:
    """Integers (panels, K / 4, PANEL, 4) from rows (panels * PANEL, K); K is filled with zeros."""
    depth = -(-rows.shape[1] // 4) * 4
    filled = rows.new_zeros(len(rows), depth)
    filled[:, : rows.shape[1]] = rows
    return filled.view(-1, PANEL, depth // 4, 4).transpose(1, 2).contiguous()


def _padded(order: Tensor, step: int) -> Tensor:
    room = -len(order) % step
    return torch.cat((order, order.new_full((room,), -1)))


def convolve(states: Tensor, kernel: Tensor, lengths: Sequence[int]) -> Tensor:
    """Causal depthwise convolution of states (N, C) with `kernel` (taps, C), in float32."""
    out = torch.empty_like(states)
    sizes = torch.tensor(lengths)
    _library().functions.convolve(
        states.data_ptr(),
        kernel.data_ptr(),
        out.data_ptr(),
        sizes.data_ptr(),
        len(sizes),
        *states.shape,
        len(kernel),
        torch.get_num_threads(),
    )
    return out


def attend(joint: Tensor, distances: Distances, lengths: Sequence[int]) -> Tensor:
    """Values (N, H * D), mixed by the queries and keys beside them in `joint` (N, 3, H, D)."""
    loaded = _library()
    if joint.dtype is torch.bfloat16 and not loaded.bfloat16:
        joint = joint.float()
    count, _, heads, size = joint.shape
    out = joint.new_empty(count, heads * size)
    packed = sum(-(-length // STRIPE) * STRIPE for length in lengths)
    keys, values = joint.new_empty(2, heads * packed * size)
    sizes = torch.tensor(lengths)
    loaded.functions.attend(
        joint.data_ptr(),
        _NUMBERS[joint.dtype],
        distances.columns.data_ptr(),
        keys.data_ptr(),
        values.data_ptr(),
        out.data_ptr(),
        _NUMBERS[out.dtype],
        sizes.data_ptr(),
        len(sizes),
        heads,
        size,
        distances.count,
        distances.left,
        distances.columns.shape[1],
        torch.get_num_threads(),
    )
    return out


def _library() -> Library:
    loaded = library()
    assert loaded is not None, "callers ask first"
    return loaded
