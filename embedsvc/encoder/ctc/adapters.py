"""What may stand between the body of a model and its CTC head: convolutions with a stride."""

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.encoder.attention import Attention
from embedsvc.encoder.ctc.config import AdapterConfig
from embedsvc.encoder.grid import Grid
from embedsvc.encoder.layers import ACTIVATIONS, Activation, FeedForward, Weights, joined
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.norm import Norm
from embedsvc.encoder.positions import Plain
from embedsvc.encoder.tensors import Shape, linear_shapes, norm_shapes

PLAIN_PADDING = 1
"""Of the convolutions of wav2vec 2.0's adapter, whatever their kernel; as published."""

_EPSILON = 1e-5
"""Of the normalization there, which does not ask the config."""


@dataclass(frozen=True)
class Strided:
    """Gated convolution over the frames of one utterance; the kernel is (2C, C, K)."""

    kernel: Tensor
    bias: Tensor
    stride: int
    padding: int

    def __call__(self, states: Tensor) -> Tensor:
        """States (T', C) of states (T, C)."""
        swept = F.conv1d(states.T[None], self.kernel, self.bias, self.stride, self.padding)
        return F.glu(swept[0], dim=0).T

    def count(self, frames: int) -> int:
        """Frames of the answer to so many."""
        return max((frames + 2 * self.padding - self.kernel.shape[-1]) // self.stride + 1, 0)


@dataclass(frozen=True)
class AdapterBlock:
    """One layer of an adapter of w2v-BERT: both halves see fewer frames than came in."""

    residual_norm: Norm
    residual: Strided
    attention_norm: Norm
    strided: Strided
    attention: Attention
    feed_forward: FeedForward

    def __call__(self, states: Tensor) -> Tensor:
        """States (T', C) of states (T, C) of one utterance."""
        kept = self.residual(self.residual_norm(states))
        swept = self.strided(self.attention_norm(states)).contiguous()
        mixed = self.attention(swept, [len(swept)]) + kept
        return mixed + self.feed_forward(mixed)

    def count(self, frames: int) -> int:
        """Frames of the answer to so many."""
        return self.residual.count(frames)


@dataclass(frozen=True)
class HalfStep:
    """Half of what a feed-forward part gives, added to the states."""

    inner: Linear
    outer: Linear
    activation: Activation

    def __call__(self, states: Tensor) -> Tensor:
        """States (T, C)."""
        return torch.add(states, self.outer(self.activation(self.inner(states))), alpha=0.5)


@dataclass(frozen=True)
class Resized:
    """States of another width."""

    projection: Linear
    norm: Norm

    def __call__(self, states: Tensor) -> Tensor:
        """States (T, C')."""
        return self.norm(self.projection(states))


@dataclass(frozen=True)
class Adapter:
    """Everything between body and head: parts that keep the frames, then parts with a stride."""

    before: tuple[HalfStep | Resized, ...]
    blocks: tuple[AdapterBlock | Strided, ...]

    def count(self, frames: int) -> int:
        """Frames of the answer to so many; 0 where they are too few."""
        for block in self.blocks:
            frames = block.count(frames) if frames else 0
        return frames

    def __call__(self, states: Tensor) -> Tensor:
        """States (T', C') of one utterance's states (T, C); T' must not be 0."""
        for part in (*self.before, *self.blocks):
            states = part(states)
        return states


def grid_after(grid: Grid, config: AdapterConfig | None, padding: int) -> Grid:
    """Grid of the labels when that of the frames is `grid`."""
    for _ in range(config.layers if config else 0):
        assert config is not None
        grid = grid.strided(config.kernel, config.stride, padding)
    return grid


def bert_shapes(config: AdapterConfig, hidden: int, inner: int) -> dict[str, Shape]:
    """Tensors of an adapter of w2v-BERT after a body of `hidden` dimensions."""
    shapes: dict[str, Shape] = {}
    if config.before:
        shapes |= linear_shapes("intermediate_ffn.intermediate_dense", inner, hidden)
        shapes |= linear_shapes("intermediate_ffn.output_dense", hidden, inner)
    shapes |= _resizing_shapes(config, hidden)
    size = config.size
    for layer in range(config.layers):
        block: dict[str, Shape] = {}
        for half in ("residual", "self_attn"):
            block |= norm_shapes(f"{half}_layer_norm", size)
            block |= _strided_shapes(f"{half}_conv", config)
        for part in ("q", "k", "v", "out"):
            block |= linear_shapes(f"self_attn.linear_{part}", size, size)
        block |= norm_shapes("ffn_layer_norm", size)
        block |= linear_shapes("ffn.intermediate_dense", inner, size)
        block |= linear_shapes("ffn.output_dense", size, inner)
        shapes |= {f"adapter.layers.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def plain_shapes(config: AdapterConfig, hidden: int) -> dict[str, Shape]:
    """Tensors of an adapter of wav2vec 2.0 after a body of `hidden` dimensions."""
    shapes = _resizing_shapes(config, hidden)
    for layer in range(config.layers):
        shapes |= _strided_shapes(f"adapter.layers.{layer}.conv", config)
    return shapes


def _resizing_shapes(config: AdapterConfig, hidden: int) -> dict[str, Shape]:
    if config.size == hidden:
        return {}
    shapes = linear_shapes("adapter.proj", config.size, hidden)
    return shapes | norm_shapes("adapter.proj_layer_norm", config.size)


def _strided_shapes(name: str, config: AdapterConfig) -> dict[str, Shape]:
    outputs = 2 * config.size
    return {
        f"{name}.weight": (outputs, config.size, config.kernel),
        f"{name}.bias": (outputs,),
    }


def bert_adapter(
    tensors: MutableMapping[str, Tensor], config: AdapterConfig, heads: int, epsilon: float
) -> Adapter:
    """Adapter of w2v-BERT of tensors that have its shapes."""
    weights = Weights(tensors)
    before: list[HalfStep | Resized] = []
    if config.before:
        part = weights.under("intermediate_ffn")
        dense = part.linear("intermediate_dense"), part.linear("output_dense")
        before.append(HalfStep(*dense, ACTIVATIONS["relu"]))
    layers = weights.under("adapter").under("layers")
    return Adapter(
        before=(*before, *_resizing(weights, epsilon)),
        blocks=tuple(
            _block(layers.under(str(layer)), config, heads, epsilon)
            for layer in range(config.layers)
        ),
    )


def plain_adapter(tensors: MutableMapping[str, Tensor], config: AdapterConfig) -> Adapter:
    """Adapter of wav2vec 2.0 of tensors that have its shapes."""
    weights = Weights(tensors)
    layers = weights.under("adapter").under("layers")
    return Adapter(
        before=_resizing(weights, _EPSILON),
        blocks=tuple(
            _strided(layers.under(str(layer)), "conv", config, PLAIN_PADDING)
            for layer in range(config.layers)
        ),
    )


def _resizing(weights: Weights, epsilon: float) -> tuple[Resized, ...]:
    if "adapter.proj.weight" not in weights.tensors:
        return ()
    part = weights.under("adapter")
    return (Resized(part.linear("proj"), part.norm("proj_layer_norm", epsilon)),)


def _strided(weights: Weights, name: str, config: AdapterConfig, padding: int) -> Strided:
    return Strided(weights[f"{name}.weight"], weights[f"{name}.bias"], config.stride, padding)


def _block(weights: Weights, config: AdapterConfig, heads: int, epsilon: float) -> AdapterBlock:
    padding = config.stride // 2  # as published: of the stride, not of the kernel
    attention, inner = weights.under("self_attn"), weights.under("ffn")
    parts = [attention.linear(f"linear_{part}") for part in "qkv"]
    return AdapterBlock(
        residual_norm=weights.norm("residual_layer_norm", epsilon),
        residual=_strided(weights, "residual_conv", config, padding),
        attention_norm=weights.norm("self_attn_layer_norm", epsilon),
        strided=_strided(weights, "self_attn_conv", config, padding),
        attention=Attention((joined(*parts),), attention.linear("linear_out"), Plain(), heads),
        feed_forward=FeedForward(
            norm=weights.norm("ffn_layer_norm", epsilon),
            inner=inner.linear("intermediate_dense"),
            outer=inner.linear("output_dense"),
            activation=ACTIVATIONS[config.activation],
        ),
    )
