"""Heads that write letters of a few languages, from states of one layer of a body.

A frame of the body hears too little to be spelled alone: a letter may be silent, or be two letters
elsewhere. So a head is a small network of convolutions over frames, trained on states that stay as
they are. Letters in shapes: B utterances, T frames, D values of a state, H values in between, V
labels, k frames of a convolution.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.types import Floats

Drop = Callable[[Tensor], Tensor]
"""What a training leaves out of states."""

_EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """Sizes of a head: D `inputs`, H values `hidden`, so many `blocks` of `kernel` frames k."""

    inputs: int
    hidden: int
    blocks: int
    kernel: int
    labels: int

    @property
    def reach(self) -> int:
        """Frames before and after its own that decide a label."""
        return self.blocks * (self.kernel // 2)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor."""
        hidden = self.hidden
        found: dict[str, tuple[int, ...]] = _norm("input_norm", self.inputs)
        found |= {"input.weight": (hidden, self.inputs), "input.bias": (hidden,)}
        for number in range(self.blocks):
            name = f"blocks.{number}"
            found |= _norm(f"{name}.norm", hidden)
            found |= {f"{name}.depthwise.weight": (hidden, self.kernel)}
            found |= {f"{name}.depthwise.bias": (hidden,)}
            found |= {f"{name}.pointwise.weight": (hidden, hidden)}
            found |= {f"{name}.pointwise.bias": (hidden,)}
        found |= _norm("output_norm", hidden)
        return found | {"output.weight": (self.labels, hidden), "output.bias": (self.labels,)}


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def scores(
    tensors: Mapping[str, Tensor],
    states: Tensor,
    inside: Tensor | None = None,
    drop: Drop = lambda states: states,
) -> Tensor:
    """Logits (B, T, V) of states (B, T, D).

    `inside` (B, T, 1) is 0 for frames that are padding, which no other frame then hears.
    """
    hidden = _linear(tensors, "input", _normalized(tensors, "input_norm", states))
    number = 0
    while f"blocks.{number}.norm.weight" in tensors:
        name = f"blocks.{number}"
        heard = _normalized(tensors, f"{name}.norm", hidden)
        swept = F.gelu(
            _swept(tensors, f"{name}.depthwise", heard if inside is None else heard * inside)
        )
        hidden = hidden + drop(_linear(tensors, f"{name}.pointwise", swept))
        number += 1
    return _linear(tensors, "output", drop(_normalized(tensors, "output_norm", hidden)))


def _linear(tensors: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    return F.linear(states, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _normalized(tensors: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.layer_norm(states, weight.shape, weight, bias, _EPSILON)


def _swept(tensors: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    """Each value convolved along the frames, of a picture one row high with channels last."""
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    hidden, kernel = weight.shape
    picture = states.unsqueeze(1).permute(0, 3, 1, 2)  # (B, H, 1, T)
    swept = F.conv2d(
        picture, weight.view(hidden, 1, 1, kernel), bias, padding=(0, kernel // 2), groups=hidden
    )
    return swept.permute(0, 2, 3, 1).squeeze(1)


@dataclass(frozen=True)
class LetterHead:
    """A head that is ready: `tensors` in float32, on the processor."""

    shape: Shape
    tensors: Mapping[str, Tensor]

    def __call__(self, states: Floats) -> Floats:
        """Log-probabilities (T, V) of states (T, D), in float32."""
        # A copy where the states may not be written, which torch warns of.
        states = np.require(states, np.float32, ["C", "W"])
        with torch.inference_mode():
            logits = scores(self.tensors, torch.from_numpy(states)[None])[0]
            answer: Floats = torch.log_softmax(logits, dim=-1).numpy()
        return answer
