"""The maps that nearly all the work of the encoder is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

_ROWS = 1024
"""Frames of a batch that weights are laid out for; others are as right, and nearly as fast."""


@dataclass(frozen=True)
class Linear:
    """Affine map of the last dimension: weight (out, in), bias (out,) or none.

    It multiplies, and answers, in the numbers of its weight.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, states: Tensor) -> Tensor:
        """Map states (..., in) to (..., out)."""
        states = states.to(self.weight.dtype)
        if not self.weight.is_mkldnn:
            return F.linear(states, self.weight, self.bias)
        mapped: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001  no public way
            states, self.weight, self.bias, "none", [], ""
        )
        return mapped

    def at(self, dtype: torch.dtype) -> "Linear":
        """The same map in other numbers, laid out for the device.

        On processors oneDNN can have its weights in the order in which it reads them, and is then
        up to twice as fast as with rows; where it can not, they stay rows.
        """
        weight = self.rows().to(dtype)
        if weight.device.type == "cpu" and _can_lay_out():
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)  # noqa: SLF001
        return Linear(weight, None if self.bias is None else self.bias.to(dtype))

    def rows(self) -> Tensor:
        """The weight (out, in) as torch lays it out."""
        return self.weight.to_dense() if self.weight.is_mkldnn else self.weight


def _can_lay_out() -> bool:
    """Whether this torch has the operators; it promises neither, so that they may go."""
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
        hasattr(torch.ops.mkldnn, name) for name in names
    )
