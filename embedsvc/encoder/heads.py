"""What a checkpoint may bring beside its encoder: a map from hidden states to phones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from embedsvc.encoder.checkpoints import Checkpoint
from embedsvc.encoder.config import read_object
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Floats

CHOICES_FILE = "heads.json"
TENSORS_FILE = "heads.safetensors"
_LONGEST_LICENSE = 100
_WEIGHT, _BIAS = "phones.weight", "phones.bias"


@dataclass(frozen=True)
class PhoneHead:
    """Which phone each frame of `layer` is; label 0 is silence, and the blank of CTC.

    `weight` is (V, D) and `bias` (V,), for the V `labels`. `license` is what it says of itself.
    """

    layer: int
    labels: tuple[str, ...]
    weight: Floats
    bias: Floats
    license: str = ""

    def __call__(self, states: Floats) -> Floats:
        """Log-probabilities (T, V) of hidden states (T, D)."""
        scores = states @ self.weight.T + self.bias
        scores -= scores.max(axis=1, keepdims=True)
        result: Floats = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return result


def load_phone_head(checkpoint: Checkpoint) -> PhoneHead | None:
    """Phone head of a checkpoint, if it has one.

    `heads.json` names the layer and the labels, perhaps a license; `heads.safetensors` holds
    `phones.weight` (V, D) and `phones.bias` (V,). Raises `FailedPrecondition` if they do not fit,
    or do not fit the model.
    """
    path = checkpoint.directory / CHOICES_FILE
    choices = read_object(path).get("phones") if path.exists() else None
    if choices is None:
        return None
    config = checkpoint.config
    layer, labels = _layer(choices, config.num_hidden_layers), _labels(choices)
    tensors = _tensors(checkpoint.directory)
    weight = _fitting(tensors, _WEIGHT, (len(labels), config.hidden_size))
    bias = _fitting(tensors, _BIAS, (len(labels),))
    return PhoneHead(layer, labels, weight, bias, _license(choices))


def _layer(choices: Any, layers: int) -> int:
    layer = choices.get("layer") if isinstance(choices, dict) else None
    if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= layers:
        raise _fault(f"{CHOICES_FILE} names the layer {layer!r}, which is not from 0 to {layers}")
    return layer


def _labels(choices: Mapping[str, Any]) -> tuple[str, ...]:
    labels = choices.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _fault(f"{CHOICES_FILE} has no list of texts as its labels")
    if len(labels) < 2 or labels[0] or len(set(labels)) < len(labels):
        raise _fault(
            f'{CHOICES_FILE} has labels that do not begin with "" or are not all different'
        )
    return tuple(labels)


def _license(choices: Mapping[str, Any]) -> str:
    license = choices.get("license", "")
    if not isinstance(license, str) or len(license) > _LONGEST_LICENSE:
        raise _fault(f"{CHOICES_FILE} has a license that is no text, or a long one")
    return license


def _tensors(directory: Path) -> Mapping[str, Any]:
    try:
        return load_file(directory / TENSORS_FILE)
    except (OSError, KeyError, SafetensorError) as error:
        raise _fault(f"{TENSORS_FILE} is absent, truncated or damaged") from error


def _fitting(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Floats:
    tensor = tensors.get(name)
    if tensor is None or tensor.shape != shape or tensor.dtype not in (np.float16, np.float32):
        raise _fault(f"{TENSORS_FILE} has no {name} of shape {shape} in float16 or float32")
    if not np.isfinite(tensor).all():
        raise _fault(f"{TENSORS_FILE} has NaN or infinity in {name}")
    result: Floats = tensor.astype(np.float32)
    return result


def _fault(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"`model` must have a sound phone head, but {what}", field="model")
