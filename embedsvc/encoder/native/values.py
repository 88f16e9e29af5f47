"""Maps and states in 8-bit integers.

Letters in shapes: N frames of all utterances together, K inputs and M outputs of a map.
"""

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class Ending(IntEnum):
    """What becomes of a product; `GATE` halves the outputs, `ADD` adds to what is there."""

    STORE = 0
    SWISH = 1
    GATE = 2
    ADD = 3


@dataclass(frozen=True)
class Rows:
    """States (N, K), each row in unsigned integers of its own: state = low + scale * value.

    `values` is (N, K) or larger, `scale` and `low` are (N,).
    """

    values: Tensor
    scale: Tensor
    low: Tensor


@dataclass(frozen=True)
class Weights:
    """A map in signed integers: weight = rates * integers.

    `integers` are rows (M, K), or panels as the kernels want them; `rates`, `bias` and `sums`,
    those of each output's weights, are (M,). `outputs` counts what is left after the ending.
    """

    integers: Tensor
    rates: Tensor
    sums: Tensor
    bias: Tensor
    outputs: int
    ending: Ending
