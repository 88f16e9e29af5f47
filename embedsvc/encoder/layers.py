"""The parts of a conformer block (Gulati et al. 2020), over packed utterances.

States are (N, C): the frames of all utterances one after the other, without padding.
"""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.encoder import native
from embedsvc.encoder.attention import Attention
from embedsvc.encoder.config import EncoderConfig
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.norm import Norm
from embedsvc.encoder.positions import Plain, Positions, Relative, RelativeKey, Rotary

Activation = Callable[[Tensor], Tensor]

SWISH: Activation = partial(F.silu, inplace=True)

ACTIVATIONS: dict[str, Activation] = {
    "swish": SWISH,
    "silu": SWISH,
    "gelu": F.gelu,
    "relu": partial(F.relu, inplace=True),
}
"""By their names in a config; some change what they are given."""


@dataclass(frozen=True)
class Weights:
    """Tensors whose names share a prefix; each is taken out once, so that none is kept twice."""

    tensors: MutableMapping[str, Tensor]
    prefix: str = ""

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors.pop(self.prefix + name)

    def under(self, name: str) -> "Weights":
        """Tensors one level down."""
        return Weights(self.tensors, f"{self.prefix}{name}.")

    def linear(self, name: str) -> Linear:
        """Map with a bias."""
        return Linear(self[f"{name}.weight"], self[f"{name}.bias"])

    def pointwise(self, name: str) -> Linear:
        """Convolution of width 1 without bias: a map of each frame."""
        return Linear(self[f"{name}.weight"].squeeze(-1))

    def norm(self, name: str, epsilon: float) -> Norm:
        """Layer normalization."""
        return Norm(self[f"{name}.weight"], self[f"{name}.bias"], epsilon)


@dataclass(frozen=True)
class FeedForward:
    """Two maps of each frame with an activation between them."""

    norm: Norm
    inner: Linear
    outer: Linear
    activation: Activation

    def at(self, dtype: torch.dtype) -> "FeedForward":
        """The same with products in other numbers."""
        return replace(self, inner=self.inner.at(dtype), outer=self.outer.at(dtype))

    def __call__(self, states: Tensor) -> Tensor:
        """States (N, C) to add to the given ones."""
        return self.outer(self.activation(self.inner(self.norm(states))))


@dataclass(frozen=True)
class Convolution:
    """Gated depthwise convolution that looks only back; kernel is (C, 1, 1, K).

    The kernel stays in float32: it is little work, and slower in smaller numbers. `taps` is the
    same (K, C) where the compiled kernels can run.
    """

    norm: Norm
    gate: Linear
    kernel: Tensor
    inner_norm: Norm
    outer: Linear
    activation: Activation
    taps: Tensor | None = None

    def at(self, dtype: torch.dtype) -> "Convolution":
        """The same with products in other numbers."""
        return replace(self, gate=self.gate.at(dtype), outer=self.outer.at(dtype))

    def __call__(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) of utterances of `lengths` frames, one after the other."""
        gated = F.glu(self.gate(self.norm(states)), dim=-1).to(self.kernel.dtype)
        return self.outer(self.activation(self.inner_norm(self.sweep(gated, lengths))))

    def sweep(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C), convolved; each utterance has zeros before it and sees no other."""
        if self.taps is not None:
            return native.convolve(states, self.taps, lengths)
        channels, past = len(self.kernel), self.kernel.shape[-1] - 1
        gaps = states.new_zeros(past, channels)
        spaced = torch.cat(
            [part for each in states.split_with_sizes(list(lengths)) for part in (gaps, each)]
        )
        # As a picture one row high with channels last, which is the layout we have.
        picture = spaced[None, None].permute(0, 3, 1, 2)
        swept = F.conv2d(picture, self.kernel, groups=channels)
        swept = swept.permute(0, 2, 3, 1).reshape(-1, channels)
        if len(lengths) == 1:
            return swept
        parts, start = [], 0
        for length in lengths:
            parts.append(swept[start : start + length])
            start += length + past
        return torch.cat(parts)


@dataclass(frozen=True)
class Block:
    """One layer of the encoder."""

    first: FeedForward
    attention_norm: Norm
    attention: Attention
    convolution: Convolution
    second: FeedForward
    norm: Norm

    def at(self, dtype: torch.dtype) -> "Block":
        """The same with products in other numbers."""
        return replace(
            self,
            first=self.first.at(dtype),
            attention=self.attention.at(dtype),
            convolution=self.convolution.at(dtype),
            second=self.second.at(dtype),
        )

    def __call__(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) of the next layer; the given ones stay as they are."""
        states = torch.add(states, self.first(states), alpha=0.5)
        states += self.attention(self.attention_norm(states), lengths)
        states += self.convolution(states, lengths)
        states.add_(self.second(states), alpha=0.5)
        return self.norm(states)


class Layer(Protocol):
    """A block, in whatever numbers it multiplies."""

    def __call__(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """States (N, C) of the next layer; the given ones stay as they are."""


@dataclass(frozen=True)
class Network:
    """The whole encoder: features (N, 160) in, hidden states of any layer out."""

    norm: Norm
    projection: Linear
    blocks: tuple[Layer, ...]

    def at(self, dtype: torch.dtype) -> "Network":
        """The same with products in other numbers; states, norms and scores stay float32."""
        return replace(self, blocks=tuple(block.at(dtype) for block in self.exact_blocks()))

    def exact_blocks(self) -> Iterator[Block]:
        """The blocks of a network whose numbers were not reduced to integers."""
        for block in self.blocks:
            assert isinstance(block, Block), "integers can not be turned back"
            yield block

    def hidden_states(
        self, inputs: Tensor, lengths: Sequence[int], deepest: int
    ) -> Iterator[Tensor]:
        """States (N, C) of layers 0 to `deepest`, each when it is known.

        `inputs` are features (N, 160) of utterances of `lengths` frames, one after the other.
        """
        states = self.projection(self.norm(inputs))
        yield states
        for block in self.blocks[:deepest]:
            states = block(states, lengths)
            yield states


def network(tensors: MutableMapping[str, Tensor], config: EncoderConfig) -> Network:
    """Network in float32 of a checkpoint's tensors, whose names and shapes are known to be right.

    It takes the tensors out of `tensors` as it lays them out.
    """
    weights, epsilon = Weights(tensors), config.layer_norm_eps
    projection = weights.under("feature_projection")
    layers = weights.under("encoder").under("layers")
    return Network(
        norm=projection.norm("layer_norm", epsilon),
        projection=projection.linear("projection").at(torch.float32),
        blocks=tuple(
            _block(layers.under(str(layer)), config).at(torch.float32)
            for layer in range(config.num_hidden_layers)
        ),
    )


def _block(weights: Weights, config: EncoderConfig) -> Block:
    epsilon = config.layer_norm_eps
    return Block(
        first=_feed_forward(weights, "ffn1", config),
        attention_norm=weights.norm("self_attn_layer_norm", epsilon),
        attention=_attention(weights.under("self_attn"), config),
        convolution=_convolution(weights.under("conv_module"), config),
        second=_feed_forward(weights, "ffn2", config),
        norm=weights.norm("final_layer_norm", epsilon),
    )


def _feed_forward(weights: Weights, name: str, config: EncoderConfig) -> FeedForward:
    return FeedForward(
        norm=weights.norm(f"{name}_layer_norm", config.layer_norm_eps),
        inner=weights.linear(f"{name}.intermediate_dense"),
        outer=weights.linear(f"{name}.output_dense"),
        activation=ACTIVATIONS[config.hidden_act],
    )


def _attention(weights: Weights, config: EncoderConfig) -> Attention:
    queries, keys, values = (weights.linear(f"linear_{part}") for part in "qkv")
    turns = config.position_embeddings_type == "rotary"
    return Attention(
        parts=(joined(queries, keys), values) if turns else (joined(queries, keys, values),),
        output=weights.linear("linear_out"),
        positions=_positions(weights, config, queries.weight.device),
        heads=config.num_attention_heads,
    )


def joined(*parts: Linear) -> Linear:
    """One map to what all give, one after the other."""
    return Linear(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.bias for part in parts if part.bias is not None]),
    )


def _positions(weights: Weights, config: EncoderConfig, device: torch.device) -> Positions:
    match config.position_embeddings_type:
        case "relative_key":
            table = weights["distance_embedding.weight"]
            return RelativeKey.of(table, config.left_max_position_embeddings)
        case "relative":
            return Relative(
                projection=Linear(weights["linear_pos.weight"]),
                content=weights["pos_bias_u"],
                position=weights["pos_bias_v"],
            )
        case "rotary":
            powers = torch.arange(0, config.head_size, 2, device=device).float()
            rates = 1.0 / (config.rotary_embedding_base ** (powers / config.head_size))
            return Rotary(rates=rates, heads=config.num_attention_heads)
        case _:
            return Plain()


def _convolution(weights: Weights, config: EncoderConfig) -> Convolution:
    kernel = weights["depthwise_conv.weight"]
    return Convolution(
        norm=weights.norm("layer_norm", config.layer_norm_eps),
        gate=weights.pointwise("pointwise_conv1"),
        kernel=kernel.unsqueeze(2),
        inner_norm=weights.norm("depthwise_layer_norm", config.layer_norm_eps),
        outer=weights.pointwise("pointwise_conv2"),
        activation=ACTIVATIONS[config.hidden_act],
        taps=kernel.squeeze(1).T.contiguous() if native.serves(kernel) else None,
    )
