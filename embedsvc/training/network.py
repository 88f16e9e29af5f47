"""The encoder as it is trained: the same numbers and tensor names as its checkpoints.

Batches have no padding (see `batches.py`), so there are no masks. Letters in shapes: B utterances,
T frames, C hidden size, H heads, D head size.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor, nn

from embedsvc.encoder.config import EncoderConfig

GAIN = 0.8
"""Weights start with deviation GAIN / sqrt(inputs): a little under what keeps the variance."""


class FeedForward(nn.Module):
    """Two maps of each frame with an activation between them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """States (B, T, C) to add to the given ones."""
        mapped: Tensor = self.output_dense(F.silu(self.intermediate_dense(states)))
        return mapped


class Attention(nn.Module):
    """Self-attention with a learned key for each clipped distance (Shaw et al. 2018)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.left = config.left_max_position_embeddings
        self.right = config.right_max_position_embeddings
        self.linear_q = nn.Linear(size, size)
        self.linear_k = nn.Linear(size, size)
        self.linear_v = nn.Linear(size, size)
        self.linear_out = nn.Linear(size, size)
        self.distance_embedding = nn.Embedding(config.positions, self.head_size)

    def forward(self, states: Tensor) -> Tensor:
        """States (B, T, C) to add to the given ones."""
        batch, length, size = states.shape
        queries, keys, values = self._project(states)
        scores = queries @ keys.transpose(-1, -2) + self._by_distance(queries)
        mixed = F.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype) @ values
        joined: Tensor = self.linear_out(mixed.transpose(1, 2).reshape(batch, length, size))
        return joined

    def _project(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values, each (B, H, T, D), of one product."""
        parts = (self.linear_q, self.linear_k, self.linear_v)
        weight = torch.cat([part.weight for part in parts])
        bias = torch.cat([part.bias for part in parts])
        batch, length, _ = states.shape
        joint = F.linear(states, weight, bias).view(batch, length, 3, self.heads, self.head_size)
        queries, keys, values = joint.permute(2, 0, 3, 1, 4)
        return queries * (1 / math.sqrt(self.head_size)), keys, values

    def _by_distance(self, queries: Tensor) -> Tensor:
        """Score of each query with the key of each distance: (B, H, T, T).

        All 2T - 1 distances are scored, and the rows then shifted against each other (Huang et
        al. 2018, "Music Transformer"), so that nothing of size T x T x D is made.
        """
        batch, heads, length, _ = queries.shape
        distances = torch.arange(1 - length, length, device=queries.device)
        table = self.distance_embedding(distances.clamp(-self.left, self.right) + self.left)
        band = F.pad(queries @ table.to(queries.dtype).T, (1, 0))  # (B, H, T, 2T)
        shifted = band.view(batch, heads, 2 * length, length)[:, :, 1:]
        return shifted.reshape(batch, heads, length, 2 * length - 1)[..., :length]


class Convolution(nn.Module):
    """Gated depthwise convolution that looks only back."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size, kernel = config.hidden_size, config.conv_depthwise_kernel_size
        self.past = kernel - 1
        self.layer_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.pointwise_conv1 = nn.Conv1d(size, 2 * size, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(size, size, kernel, groups=size, bias=False)
        self.depthwise_layer_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.pointwise_conv2 = nn.Conv1d(size, size, 1, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """States (B, T, C) to add to the given ones."""
        gate = self.pointwise_conv1.weight.squeeze(-1)
        gated = F.glu(F.linear(self.layer_norm(states), gate), dim=-1)
        swept = self.depthwise_layer_norm(self._sweep(gated))
        return F.linear(F.silu(swept), self.pointwise_conv2.weight.squeeze(-1))

    def _sweep(self, states: Tensor) -> Tensor:
        """Depthwise convolution of a picture one row high with channels last, as states lie."""
        past = F.pad(states, (0, 0, self.past, 0)).unsqueeze(1).permute(0, 3, 1, 2)
        kernel = self.depthwise_conv.weight.unsqueeze(2).to(past.dtype)
        swept = F.conv2d(past, kernel, groups=past.shape[1])
        return swept.permute(0, 2, 3, 1).squeeze(1)


class Block(nn.Module):
    """One conformer layer (Gulati et al. 2020)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size, epsilon = config.hidden_size, config.layer_norm_eps
        self.ffn1_layer_norm = nn.LayerNorm(size, eps=epsilon)
        self.ffn1 = FeedForward(config)
        self.self_attn_layer_norm = nn.LayerNorm(size, eps=epsilon)
        self.self_attn = Attention(config)
        self.conv_module = Convolution(config)
        self.ffn2_layer_norm = nn.LayerNorm(size, eps=epsilon)
        self.ffn2 = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(size, eps=epsilon)

    def forward(self, states: Tensor) -> Tensor:
        """States (B, T, C) of the next layer."""
        states = states + 0.5 * self.ffn1(self.ffn1_layer_norm(states))
        states = states + self.self_attn(self.self_attn_layer_norm(states))
        states = states + self.conv_module(states)
        states = states + 0.5 * self.ffn2(self.ffn2_layer_norm(states))
        normal: Tensor = self.final_layer_norm(states)
        return normal


class Projection(nn.Module):
    """From features to the size of the hidden states."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inputs = config.feature_projection_input_dim
        self.layer_norm = nn.LayerNorm(inputs, eps=config.layer_norm_eps)
        self.projection = nn.Linear(inputs, config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """States (B, T, C) of features (B, T, 160)."""
        states: Tensor = self.projection(self.layer_norm(features))
        return states


class TrainableEncoder(nn.Module):
    """Encoder whose parameters have the names of a checkpoint's tensors."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.masked_spec_embed = nn.Parameter(torch.empty(config.hidden_size).uniform_())
        self.feature_projection = Projection(config)
        blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layers": blocks})
        self.apply(_initialize)

    @property
    def blocks(self) -> Iterator[Block]:
        """The layers, first to last."""
        for block in self.encoder["layers"].children():
            assert isinstance(block, Block)
            yield block

    def forward(self, features: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Hidden states (B, T, C), the input of the first layer before all.

        `hidden` (B, T) is true for frames that the encoder must do without.
        """
        states = self.feature_projection(features)
        if hidden is not None:
            mask = self.masked_spec_embed.to(states.dtype)
            states = torch.where(hidden.unsqueeze(-1), mask, states)
        layers = [states]
        for block in self.blocks:
            layers.append(block(layers[-1]))
        return layers


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=GAIN / math.sqrt(module.in_features))
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
