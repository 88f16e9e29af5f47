"""The parts of wav2vec 2.0 (Baevski et al. 2020), over packed utterances.

States are (N, C): the frames of all utterances one after the other, without padding. What runs
over time runs over each utterance alone, so that none changes another, not even where a
normalization is over all of an utterance's time.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor

from embedsvc.encoder.attention import Attention
from embedsvc.encoder.layers import ACTIVATIONS, Activation, Weights, joined
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.norm import Norm
from embedsvc.encoder.positions import Plain
from embedsvc.encoder.waveform.config import WaveformConfig
from embedsvc.encoder.waveform.tensors import DIRECTION, MAGNITUDE

_TINY = 1e-30

_EPSILON = 1e-5
"""Of the normalizations that do not ask the config, as published."""


@dataclass(frozen=True)
class Instance:
    """Normalization of each channel over all the time of an utterance."""

    weight: Tensor
    bias: Tensor

    def __call__(self, signal: Tensor) -> Tensor:
        """Signal (1, C, T)."""
        return F.group_norm(signal, len(self.weight), self.weight, self.bias, _EPSILON)


@dataclass(frozen=True)
class Across:
    """Normalization of all channels at each time."""

    norm: Norm

    def __call__(self, signal: Tensor) -> Tensor:
        """Signal (1, C, T)."""
        return self.norm(signal.transpose(1, 2)).transpose(1, 2)


@dataclass(frozen=True)
class Sampler:
    """One convolution of the waveform; the kernel is (C', C, K)."""

    kernel: Tensor
    bias: Tensor | None
    stride: int
    norm: Instance | Across | None
    activation: Activation

    def __call__(self, signal: Tensor) -> Tensor:
        """Signal (1, C', T') of signal (1, C, T)."""
        signal = F.conv1d(signal, self.kernel, self.bias, self.stride)
        return self.activation(self.norm(signal) if self.norm else signal)


@dataclass(frozen=True)
class Places:
    """What a frame learns of its place: a wide grouped convolution around it."""

    kernel: Tensor
    bias: Tensor
    groups: int
    activation: Activation

    def __call__(self, states: Tensor) -> Tensor:
        """States (T, C) to add to those of one utterance."""
        width = self.kernel.shape[-1]
        swept = F.conv1d(
            states.T[None], self.kernel, self.bias, padding=width // 2, groups=self.groups
        )
        # An even kernel gives one frame more than it was given.
        return self.activation(swept[0, :, : len(states)]).T


@dataclass(frozen=True)
class LanguageAdapter:
    """A narrow pass beside one layer, which alone is of a language."""

    norm: Norm
    inner: Linear
    outer: Linear

    def __call__(self, states: Tensor) -> Tensor:
        """States (N, C) to add to the given ones."""
        return self.outer(F.relu(self.inner(self.norm(states))))


@dataclass(frozen=True)
class WaveformBlock:
    """One transformer layer; `stable` ones normalize before their parts in place of after."""

    attention: Attention
    attention_norm: Norm
    inner: Linear
    outer: Linear
    activation: Activation
    norm: Norm
    stable: bool

    def __call__(
        self, states: Tensor, lengths: Sequence[int], adapter: LanguageAdapter | None
    ) -> Tensor:
        """States (N, C) of the next layer; the given ones stay as they are."""
        if not self.stable:
            states = self.attention_norm(states + self.attention(states, lengths))
            return self.norm(states + self._forward(states))
        states = states + self.attention(self.attention_norm(states), lengths)
        states = states + self._forward(self.norm(states))
        return states + adapter(states) if adapter else states

    def _forward(self, states: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(states)))


@dataclass(frozen=True)
class WaveformNetwork:
    """The whole body: samples in, hidden states of any layer out."""

    samplers: tuple[Sampler, ...]
    input_norm: Norm
    projection: Linear
    places: Places
    norm: Norm
    blocks: tuple[WaveformBlock, ...]
    stable: bool

    def hidden_states(
        self, inputs: Sequence[Tensor], deepest: int, adapters: Sequence[LanguageAdapter] = ()
    ) -> Iterator[Tensor]:
        """States (N, C) of layers 0 to `deepest`, each when it is known.

        `inputs` are the samples (N,) of each utterance, `adapters` those of a language. The
        states of the last layer are those that a head reads: normalized.
        """
        parts = [self._sampled(each) for each in inputs]
        lengths = [len(part) for part in parts]
        packed = self.projection(self.input_norm(torch.cat(parts)))
        places = torch.cat([self.places(part) for part in packed.split_with_sizes(lengths)])
        states = packed + places
        if not self.stable:
            states = self.norm(states)
        yield states
        for layer, block in enumerate(self.blocks[:deepest]):
            states = block(states, lengths, adapters[layer] if adapters else None)
            last = layer + 1 == len(self.blocks)
            yield self.norm(states) if self.stable and last else states

    def _sampled(self, samples: Tensor) -> Tensor:
        signal = samples[None, None]
        for sampler in self.samplers:
            signal = sampler(signal)
        return signal[0].T


def waveform_network(
    tensors: MutableMapping[str, Tensor], config: WaveformConfig
) -> WaveformNetwork:
    """Network in float32 of tensors whose names and shapes are known to be right."""
    weights, epsilon = Weights(tensors), config.layer_norm_eps
    projection, encoder = weights.under("feature_projection"), weights.under("encoder")
    layers = encoder.under("layers")
    return WaveformNetwork(
        samplers=tuple(_samplers(weights, config)),
        input_norm=projection.norm("layer_norm", epsilon),
        projection=projection.linear("projection").at(torch.float32),
        places=_places(weights, config),
        norm=encoder.norm("layer_norm", epsilon),
        blocks=tuple(
            _block(layers.under(str(layer)), config) for layer in range(config.num_hidden_layers)
        ),
        stable=config.do_stable_layer_norm,
    )


def language_adapters(
    tensors: MutableMapping[str, Tensor], config: WaveformConfig
) -> tuple[LanguageAdapter, ...]:
    """The adapters of one language, one for each layer."""
    layers = Weights(tensors).under("encoder").under("layers")
    parts = [
        layers.under(str(layer)).under("adapter_layer") for layer in range(config.num_hidden_layers)
    ]
    return tuple(
        LanguageAdapter(
            part.norm("norm", _EPSILON), part.linear("linear_1"), part.linear("linear_2")
        )
        for part in parts
    )


def _samplers(weights: Weights, config: WaveformConfig) -> Iterator[Sampler]:
    layers = weights.under("feature_extractor").under("conv_layers")
    for place, stride in enumerate(config.conv_stride):
        part = layers.under(str(place))
        norm: Instance | Across | None = None
        if config.feat_extract_norm == "layer":
            norm = Across(part.norm("layer_norm", _EPSILON))
        elif not place:
            norm = Instance(part["layer_norm.weight"], part["layer_norm.bias"])
        yield Sampler(
            kernel=part["conv.weight"],
            bias=part["conv.bias"] if config.conv_bias else None,
            stride=stride,
            norm=norm,
            activation=ACTIVATIONS[config.feat_extract_activation],
        )


def _places(weights: Weights, config: WaveformConfig) -> Places:
    magnitude, direction = weights[MAGNITUDE], weights[DIRECTION]
    # Weight normalization (Salimans and Kingma 2016), of each tap over all channels.
    lengths = direction.square().sum(dim=(0, 1), keepdim=True).sqrt().clamp_min(_TINY)
    return Places(
        kernel=direction * (magnitude / lengths),
        bias=weights["encoder.pos_conv_embed.conv.bias"],
        groups=config.num_conv_pos_embedding_groups,
        activation=ACTIVATIONS[config.feat_extract_activation],
    )


def _block(weights: Weights, config: WaveformConfig) -> WaveformBlock:
    attention, inner = weights.under("attention"), weights.under("feed_forward")
    parts = [attention.linear(f"{part}_proj") for part in "qkv"]
    mixing = Attention(
        (joined(*parts),), attention.linear("out_proj"), Plain(), config.num_attention_heads
    )
    return WaveformBlock(
        attention=mixing.at(torch.float32),
        attention_norm=weights.norm("layer_norm", config.layer_norm_eps),
        inner=inner.linear("intermediate_dense").at(torch.float32),
        outer=inner.linear("output_dense").at(torch.float32),
        activation=ACTIVATIONS[config.hidden_act],
        norm=weights.norm("final_layer_norm", config.layer_norm_eps),
        stable=config.do_stable_layer_norm,
    )
