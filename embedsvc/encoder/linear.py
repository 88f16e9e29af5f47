"""The maps that nearly all the work of the encoder is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """Affine map of the last dimension: weight (out, in), bias (out,) or none.

    It multiplies, and answers, in the numbers of its weight.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, states: Tensor) -> Tensor:
        """Map states (..., in) to (..., out)."""
        return F.linear(states.to(self.weight.dtype), self.weight, self.bias)

    def at(self, dtype: torch.dtype) -> "Linear":
        """The same map in other numbers."""
        return Linear(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))

    def split(self, outputs: int) -> tuple["Linear", "Linear"]:
        """The map to the first so many outputs, and that to the others."""
        biases = (None, None) if self.bias is None else (self.bias[:outputs], self.bias[outputs:])
        return (
            Linear(self.weight[:outputs], biases[0]),
            Linear(self.weight[outputs:], biases[1]),
        )
