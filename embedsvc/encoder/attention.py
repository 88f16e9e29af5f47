"""Self-attention over packed utterances.

Letters in shapes: N frames of all utterances together, C hidden size, H heads, D head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from embedsvc.encoder.linear import Linear
from embedsvc.encoder.positions import Positions


@dataclass(frozen=True)
class Attention:
    """Multi-head attention in which a frame sees its own utterance and no other.

    `parts` is one map to queries, keys and values (3C, C) or, where positions turn the states of
    the first two, one to these (2C, C) and one to the values (C, C).
    """

    parts: tuple[Linear, ...]
    output: Linear
    positions: Positions
    heads: int

    def at(self, dtype: torch.dtype) -> "Attention":
        """The same with products in other numbers."""
        parts = tuple(part.at(dtype) for part in self.parts)
        return replace(self, parts=parts, output=self.output.at(dtype))

    def __call__(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) of utterances of `lengths` frames, one after the other."""
        first, *rest = self.parts
        mapped = [first(self.positions.turn(states, lengths)), *(part(states) for part in rest)]
        joint = torch.cat(mapped, dim=-1) if rest else mapped[0]
        joint = joint.view(len(states), 3, self.heads, -1)
        return self.output(self.positions.attend(joint, lengths))
