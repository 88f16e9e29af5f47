"""The shape of an encoder, read from the files beside its weights."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsvc.errors import FailedPrecondition, InvalidArgument, ModelNotFound

MODEL_TYPE = "wav2vec2-bert"
INPUT_SIZE = 160
ACTIVATIONS = ("swish", "silu", "gelu", "relu")
POSITIONS = (None, "relative_key", "relative", "rotary")

_SIZES = {
    "hidden_size": (2, 16_384),
    "num_hidden_layers": (1, 512),
    "num_attention_heads": (1, 1_024),
    "intermediate_size": (1, 131_072),
    "feature_projection_input_dim": (INPUT_SIZE, INPUT_SIZE),
    "conv_depthwise_kernel_size": (1, 1_023),
    "left_max_position_embeddings": (0, 8_192),
    "right_max_position_embeddings": (0, 8_192),
    "rotary_embedding_base": (2, 1_000_000_000),
}
_OPTIONAL: dict[str, Any] = {
    "feature_projection_input_dim": INPUT_SIZE,
    "conv_depthwise_kernel_size": 31,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "rotary_embedding_base": 10_000,
    "layer_norm_eps": 1e-5,
    "hidden_act": "swish",
    "position_embeddings_type": "relative_key",
}
"""What an absent key means, by the published defaults of the architecture."""

_MOST_BYTES = 32 * 2**20

_FEATURES = {"feature_size": 80, "num_mel_bins": 80, "stride": 2, "sampling_rate": 16_000}


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and choices that turn weights into hidden states, under the names of config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    feature_projection_input_dim: int
    conv_depthwise_kernel_size: int
    left_max_position_embeddings: int
    right_max_position_embeddings: int
    rotary_embedding_base: int
    layer_norm_eps: float
    hidden_act: str
    position_embeddings_type: str | None

    @property
    def head_size(self) -> int:
        """Dimensions of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def positions(self) -> int:
        """Rows of a relative-key table: one per clipped distance from left to right."""
        return self.left_max_position_embeddings + self.right_max_position_embeddings + 1


def read_config(directory: Path) -> EncoderConfig:
    """Config of the checkpoint in `directory`; every fault is reported at once.

    Keys we do not use are ignored, `auto_map` among them: no code of a checkpoint ever runs.
    """
    if not (directory / "config.json").is_file():
        raise ModelNotFound("`model` must have a config.json, but has none", field="model")
    values = read_object(directory / "config.json")
    if values.get("model_type") != MODEL_TYPE:
        kind = values.get("model_type")
        # That of models which read samples: they are served, but not as the model that embeds.
        advice = "; serve it beside one, with --head NAME=MODEL" if kind == "wav2vec2" else ""
        raise InvalidArgument(
            f"`model` must be of type {MODEL_TYPE}, but is {kind!r}{advice}", field="model"
        )
    values = _OPTIONAL | values
    faults = [*_size_faults(values), *_choice_faults(values), *_feature_faults(directory)]
    if not faults:
        faults.extend(_joint_faults(values))
    if faults:
        raise FailedPrecondition(
            f"`model` must have a config we can run: {'; '.join(faults)}", field="model"
        )
    return EncoderConfig(**{name: values[name] for name in EncoderConfig.__dataclass_fields__})


def read_object(path: Path) -> dict[str, Any]:
    """JSON object in a file of a checkpoint, at most 32 MiB of it."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise FailedPrecondition(
                f"`model` must have a {path.name} of at most {_MOST_BYTES} bytes, but has {size}",
                field="model",
            )
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FailedPrecondition(
            f"`model` must have a readable {path.name}", field="model"
        ) from error
    if not isinstance(values, dict):
        raise FailedPrecondition(
            f"`model` must have a JSON object in {path.name}, but has a {type(values).__name__}",
            field="model",
        )
    return values


def whole(value: Any, least: int, most: int) -> bool:
    """Whether a value of a config is a whole number within limits."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _size_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name, (least, most) in _SIZES.items():
        value = values.get(name)
        if not whole(value, least, most):
            rule = f"{least}" if least == most else f"a whole number from {least} to {most}"
            yield f"`{name}` must be {rule}, but is {value!r}"


def _choice_faults(values: Mapping[str, Any]) -> Iterator[str]:
    epsilon = values["layer_norm_eps"]
    if not isinstance(epsilon, float) or not math.isfinite(epsilon) or epsilon <= 0:
        yield f"`layer_norm_eps` must be a positive number, but is {epsilon!r}"
    for name, choices in (("hidden_act", ACTIVATIONS), ("position_embeddings_type", POSITIONS)):
        if values[name] not in choices:
            listed = ", ".join(map(str, choices))
            yield f"`{name}` must be one of {listed}, but is {values[name]!r}"


def _joint_faults(values: Mapping[str, Any]) -> Iterator[str]:
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    if hidden % heads:
        yield f"`hidden_size` must be a multiple of {heads} heads, but is {hidden}"
    elif values["position_embeddings_type"] == "rotary" and hidden // heads % 2:
        yield f"a rotary head must have an even size, but has {hidden // heads}"
    elif values["position_embeddings_type"] == "relative" and hidden % 2:
        yield f"`hidden_size` must be even with relative positions, but is {hidden}"
    kernel = values["conv_depthwise_kernel_size"]
    if kernel % 2 == 0:
        yield f"`conv_depthwise_kernel_size` must be odd, but is {kernel}"


def preprocessor(directory: Path) -> tuple[str, Mapping[str, Any]]:
    """File that says how samples are prepared, and what it says; newer ones say more beside."""
    own, joint = directory / "preprocessor_config.json", directory / "processor_config.json"
    if own.is_file() or not joint.is_file():
        return own.name, read_object(own) if own.exists() else {}
    values = read_object(joint).get("feature_extractor")
    return joint.name, values if isinstance(values, dict) else {}


def _feature_faults(directory: Path) -> Iterator[str]:
    file, values = preprocessor(directory)
    for name, needed in _FEATURES.items():
        if values.get(name, needed) != needed:
            yield f"`{name}` of {file} must be {needed}, but is {values[name]!r}"
