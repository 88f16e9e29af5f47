"""The shape of a wav2vec 2.0 encoder, read from the files beside its weights."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsvc.encoder.config import ACTIVATIONS, preprocessor, read_object, whole
from embedsvc.encoder.grid import Grid
from embedsvc.errors import FailedPrecondition, InvalidArgument, ModelNotFound
from embedsvc.timing import SAMPLE_RATE

WAVEFORM_TYPE = "wav2vec2"

_SIZES = {
    "hidden_size": (2, 16_384),
    "num_hidden_layers": (1, 512),
    "num_attention_heads": (1, 1_024),
    "intermediate_size": (1, 131_072),
    "num_conv_pos_embeddings": (1, 4_096),
    "num_conv_pos_embedding_groups": (1, 1_024),
}
_LISTS = {"conv_dim": (1, 16_384), "conv_kernel": (1, 1_024), "conv_stride": (1, 1_024)}
_MOST_CONVOLUTIONS = 32
_MOST_ADAPTER = 16_384
_MOST_HOP = SAMPLE_RATE

_OPTIONAL: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": [512] * 7,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
    "adapter_attn_dim": None,
}
"""What an absent key means, by the published defaults of the architecture."""

_FEATURES = {"feature_size": 1, "sampling_rate": SAMPLE_RATE}
_NORMALIZE = "do_normalize"


@dataclass(frozen=True)
class WaveformConfig:
    """Sizes and choices that turn samples into hidden states, under the names of config.json.

    `do_normalize` is of the preprocessor: whether each utterance is brought to mean 0 and
    variance 1.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    layer_norm_eps: float
    feat_extract_norm: str
    feat_extract_activation: str
    conv_dim: tuple[int, ...]
    conv_stride: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_bias: bool
    num_conv_pos_embeddings: int
    num_conv_pos_embedding_groups: int
    do_stable_layer_norm: bool
    adapter_attn_dim: int | None
    do_normalize: bool

    @property
    def grid(self) -> Grid:
        """Which samples each frame hears: as published, 400 every 320."""
        hop, field = 1, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            field += (kernel - 1) * hop
            hop *= stride
        return Grid(hop, field)

    def frame_count(self, samples: int) -> int:
        """Frames of an utterance of so many samples."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = max((samples - kernel) // stride + 1, 0)
        return samples


def read_waveform_config(directory: Path) -> WaveformConfig:
    """Config of the checkpoint in `directory`; every fault is reported at once."""
    if not (directory / "config.json").is_file():
        raise ModelNotFound("`model` must have a config.json, but has none", field="model")
    values = read_object(directory / "config.json")
    if values.get("model_type") != WAVEFORM_TYPE:
        raise InvalidArgument(
            f"`model` must be of type {WAVEFORM_TYPE}, but is {values.get('model_type')!r}",
            field="model",
        )
    file, features = preprocessor(directory)
    values = _OPTIONAL | values | {_NORMALIZE: features.get(_NORMALIZE, True)}
    faults = [*_size_faults(values), *_choice_faults(values), *_feature_faults(file, features)]
    if not faults:
        faults.extend(_joint_faults(values))
    if faults:
        raise FailedPrecondition(
            f"`model` must have a config we can run: {'; '.join(faults)}", field="model"
        )
    lists = {name: tuple(values[name]) for name in _LISTS}
    chosen = {name: values[name] for name in WaveformConfig.__dataclass_fields__} | lists
    return WaveformConfig(**chosen)


def _size_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name, (least, most) in _SIZES.items():
        if not whole(values[name], least, most):
            yield (
                f"`{name}` must be a whole number from {least} to {most}, but is {values[name]!r}"
            )
    for name, (least, most) in _LISTS.items():
        value = values[name]
        sound = isinstance(value, list) and 1 <= len(value) <= _MOST_CONVOLUTIONS
        if not sound or not all(whole(each, least, most) for each in value):
            yield (
                f"`{name}` must be a list of 1 to {_MOST_CONVOLUTIONS} whole numbers "
                f"from {least} to {most}, but is {str(value)[:80]}"
            )
    adapter = values["adapter_attn_dim"]
    if adapter is not None and not whole(adapter, 1, _MOST_ADAPTER):
        yield (
            f"`adapter_attn_dim` must be null or a whole number to {_MOST_ADAPTER}, "
            f"but is {adapter!r}"
        )


def _choice_faults(values: Mapping[str, Any]) -> Iterator[str]:
    epsilon = values["layer_norm_eps"]
    if not isinstance(epsilon, float) or not math.isfinite(epsilon) or epsilon <= 0:
        yield f"`layer_norm_eps` must be a positive number, but is {epsilon!r}"
    choices = {
        "hidden_act": ACTIVATIONS,
        "feat_extract_activation": ACTIVATIONS,
        "feat_extract_norm": ("group", "layer"),
    }
    for name, allowed in choices.items():
        if values[name] not in allowed:
            yield f"`{name}` must be one of {', '.join(allowed)}, but is {values[name]!r}"
    for name in ("conv_bias", "do_stable_layer_norm", _NORMALIZE):
        if not isinstance(values[name], bool):
            yield f"`{name}` must be true or false, but is {values[name]!r}"


def _feature_faults(file: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, needed in _FEATURES.items():
        if values.get(name, needed) != needed:
            yield f"`{name}` of {file} must be {needed}, but is {values[name]!r}"


def _joint_faults(values: Mapping[str, Any]) -> Iterator[str]:
    hidden = values["hidden_size"]
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if hidden % values[name]:
            yield f"`hidden_size` must be a multiple of `{name}` {values[name]}, but is {hidden}"
    counts = {name: len(values[name]) for name in _LISTS}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} in `{name}`" for name, count in counts.items())
        yield f"each convolution must have all its sizes, but there are {listed}"
    hop = math.prod(values["conv_stride"])
    if hop > _MOST_HOP:
        yield f"`conv_stride` must be at most {_MOST_HOP} samples in all, but is {hop}"
    if values["adapter_attn_dim"] is not None and not values["do_stable_layer_norm"]:
        yield "`adapter_attn_dim` must be null without `do_stable_layer_norm`, but is not"
