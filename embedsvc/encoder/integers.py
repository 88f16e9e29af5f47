"""Maps in 8-bit integers, of states that are rounded row by row.

A weight has a rate for each output, a row of states a scale and a zero point of its own, so that
neither batch mates nor the length of an utterance change what a frame becomes. Products are summed
exactly. Where the kernels can not run, torch does the same.

Letters in shapes: N frames of all utterances together, K inputs and M outputs of a map.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.encoder import native
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.native import Ending, Rows, Weights
from embedsvc.encoder.norm import Norm
from embedsvc.errors import FailedPrecondition

LARGEST_DEPTH = 65_536
"""Inputs whose products with 255 and 127 can not overflow 32 bits."""

_MOST = 127.0


def weights_of(linear: Linear, ending: Ending = Ending.STORE, share: float = 1.0) -> Weights:
    """`share` times a map, rounded to nearest for each output."""
    rows = linear.rows() * share
    if rows.shape[1] > LARGEST_DEPTH:
        raise FailedPrecondition(
            f"`precision` int8 is for maps of at most {LARGEST_DEPTH} inputs, not {rows.shape[1]}",
            field="precision",
        )
    bias = rows.new_zeros(len(rows)) if linear.bias is None else linear.bias * share
    rates = (rows.abs().amax(dim=1) / _MOST).clamp_min(1e-30)
    integers = (rows / rates[:, None]).round().to(torch.int8)
    sums = rates * integers.sum(dim=1)
    outputs = len(rows) // 2 if ending is Ending.GATE else len(rows)
    made = Weights(integers, rates, sums, bias, outputs, ending)
    return made if native.library() is None else _in_panels(made)


def _in_panels(weights: Weights) -> Weights:
    """The same as the kernels want it."""
    order = native.panel_order(len(weights.rates), gated=weights.ending is Ending.GATE)
    return replace(
        weights,
        integers=native.panels(native.lined_up(weights.integers, order)),
        rates=native.lined_up(weights.rates, order),
        sums=native.lined_up(weights.sums, order),
        bias=native.lined_up(weights.bias, order),
    )


def quantize(states: Tensor, norm: Norm | None = None, *, swished: bool = False) -> Rows:
    """States (N, K), normalized, activated, then each row in integers of its own range."""
    if native.library() is not None:
        return native.quantize(states, norm, swished=swished)
    states = states.float()
    if norm is not None:
        states = F.layer_norm(states, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)
    if swished:
        states = F.silu(states)
    low, high = torch.aminmax(states, dim=1)
    scale = ((high - low) / 255).clamp_min(1e-30)
    values = ((states - low[:, None]) / scale[:, None]).round().clamp_(0, 255).to(torch.uint8)
    return Rows(values, scale, low)


def multiply(rows: Rows, weights: Weights, out: Tensor) -> Tensor:
    """The product of rows (N, K) with weights, by its ending into `out` (N, M), given back."""
    if weights.integers.dim() > 2:  # panels
        return native.multiply(rows, weights, out)
    values = rows.values[: len(rows.scale), : weights.integers.shape[1]]
    # In signed integers, with what that subtracts given to the zero point.
    signed = (values.to(torch.int16) - 128).to(torch.int8)
    product = torch._int_mm(signed, weights.integers.T).float()  # noqa: SLF001  no public way
    low = rows.low + 128 * rows.scale
    product = product * rows.scale[:, None] * weights.rates
    product += low[:, None] * weights.sums + weights.bias
    return _ENDINGS[weights.ending](out, product)


_ENDINGS: dict[Ending, Callable[[Tensor, Tensor], Tensor]] = {
    Ending.STORE: lambda out, product: out.copy_(product),
    Ending.SWISH: lambda out, product: out.copy_(F.silu(product)),
    Ending.GATE: lambda out, product: out.copy_(F.glu(product, dim=-1)),
    Ending.ADD: lambda out, product: out.add_(product),
}
