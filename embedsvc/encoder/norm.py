"""Layer normalization."""

from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """Layer normalization of the last dimension."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, states: Tensor) -> Tensor:
        """States (..., C) at mean 0 and variance 1, then scaled and shifted."""
        return F.layer_norm(states, self.weight.shape, self.weight, self.bias, self.epsilon)
