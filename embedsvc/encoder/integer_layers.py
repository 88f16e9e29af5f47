"""A conformer block whose products are in 8-bit integers; states, norms and scores are not.

States are (N, C): the frames of all utterances one after the other, without padding. What goes from
one product to the next within a part of a block is kept in 16 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from embedsvc.encoder.attention import Attention
from embedsvc.encoder.integers import multiply, quantize, weights_of
from embedsvc.encoder.layers import SWISH, Block, Convolution, FeedForward, Network
from embedsvc.encoder.native import Ending, Weights
from embedsvc.encoder.norm import Norm
from embedsvc.encoder.positions import Positions, RelativeKey
from embedsvc.errors import FailedPrecondition


@dataclass(frozen=True)
class IntegerFeedForward:
    """Two maps of each frame with an activation between them; half of it is added."""

    norm: Norm
    inner: Weights
    outer: Weights

    @classmethod
    def of(cls, part: FeedForward) -> "IntegerFeedForward":
        """From one in float32."""
        inner = weights_of(part.inner, Ending.SWISH)
        return cls(part.norm, inner, weights_of(part.outer, Ending.ADD, share=0.5))

    def add_to(self, states: Tensor) -> None:
        """Add to states (N, C) what it makes of them."""
        inner = states.new_empty(len(states), self.inner.outputs, dtype=torch.float16)
        multiply(quantize(states, self.norm), self.inner, inner)
        multiply(quantize(inner), self.outer, states)


@dataclass(frozen=True)
class IntegerAttention:
    """Multi-head attention in which a frame sees its own utterance and no other."""

    norm: Norm
    joint: Weights
    output: Weights
    positions: Positions
    heads: int

    @classmethod
    def of(cls, norm: Norm, part: Attention) -> "IntegerAttention":
        """From one in float32, whose positions turn nothing."""
        (joint,) = part.parts
        output = weights_of(part.output, Ending.ADD)
        return cls(norm, weights_of(joint), output, part.positions, part.heads)

    def add_to(self, states: Tensor, lengths: Sequence[int]) -> None:
        """Add to states (N, C) what it makes of them."""
        joint = states.new_empty(len(states), self.joint.outputs, dtype=torch.bfloat16)
        multiply(quantize(states, self.norm), self.joint, joint)
        mixed = self.positions.attend(joint.view(len(states), 3, self.heads, -1), lengths)
        multiply(quantize(mixed), self.output, states)


@dataclass(frozen=True)
class IntegerConvolution:
    """Gated depthwise convolution that looks only back."""

    norm: Norm
    gate: Weights
    part: Convolution
    outer: Weights

    @classmethod
    def of(cls, part: Convolution) -> "IntegerConvolution":
        """From one in float32, whose kernel it keeps."""
        outer = weights_of(part.outer, Ending.ADD)
        return cls(part.norm, weights_of(part.gate, Ending.GATE), part, outer)

    def add_to(self, states: Tensor, lengths: Sequence[int]) -> None:
        """Add to states (N, C) what it makes of them."""
        gated = states.new_empty(len(states), self.gate.outputs)
        multiply(quantize(states, self.norm), self.gate, gated)
        swept = self.part.sweep(gated, lengths)
        multiply(quantize(swept, self.part.inner_norm, swished=True), self.outer, states)


@dataclass(frozen=True)
class IntegerBlock:
    """One layer of the encoder."""

    first: IntegerFeedForward
    attention: IntegerAttention
    convolution: IntegerConvolution
    second: IntegerFeedForward
    norm: Norm

    @classmethod
    def of(cls, block: Block) -> "IntegerBlock":
        """From one in float32.

        Raises `FailedPrecondition` for one of another kind than the published checkpoints are.
        """
        usual = isinstance(block.attention.positions, RelativeKey)
        if not usual or block.first.activation is not SWISH:
            raise FailedPrecondition(
                "`precision` int8 is for models with `position_embeddings_type` relative_key and "
                "`hidden_act` swish",
                field="precision",
            )
        return cls(
            first=IntegerFeedForward.of(block.first),
            attention=IntegerAttention.of(block.attention_norm, block.attention),
            convolution=IntegerConvolution.of(block.convolution),
            second=IntegerFeedForward.of(block.second),
            norm=block.norm,
        )

    def __call__(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) of the next layer; the given ones stay as they are."""
        states = states.clone()
        self.first.add_to(states)
        self.attention.add_to(states, lengths)
        self.convolution.add_to(states, lengths)
        self.second.add_to(states)
        return self.norm(states)


def in_integers(whole: Network) -> Network:
    """The same network with the products of its blocks in integers; it is on a processor."""
    if whole.projection.weight.device.type != "cpu":
        raise FailedPrecondition("`precision` int8 is for `device` cpu", field="precision")
    return replace(whole, blocks=tuple(IntegerBlock.of(block) for block in whole.exact_blocks()))
