"""From a run to a checkpoint that the service loads: the files of a model directory."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from embedsvc.encoder.config import MODEL_TYPE, EncoderConfig
from embedsvc.errors import FailedPrecondition
from embedsvc.training.objectives import Layers
from embedsvc.training.recipe import Shape
from embedsvc.training.state import Run

_ENCODER, _PHONES = "encoder.", "heads.phones."

_CONSTANTS = {
    "architectures": ["Wav2Vec2BertModel"],
    "model_type": MODEL_TYPE,
    "dtype": "float16",
    "add_adapter": False,
    "apply_spec_augment": False,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "conformer_conv_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "hidden_dropout": 0.0,
    "layerdrop": 0.0,
}
"""What other readers of the layout must be told, and our encoder does not need."""

_PREPROCESSOR = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "padding_side": "right",
    "padding_value": 1.0,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
    "stride": 2,
}


def export(run: Run, directory: Path) -> None:
    """Write the encoder and its phone head, in float16, into `directory`.

    Raises `FailedPrecondition` when the run has kept no state yet.
    """
    saved = run.last()
    if saved is None:
        raise FailedPrecondition(f"`RUN` must have kept a state: {run.folder}")
    plan = run.plan()
    shape, taught = Shape(**plan.recipe["model"]), Layers(**plan.recipe["layers"])
    directory.mkdir(parents=True, exist_ok=True)
    _json(directory / "config.json", config_json(shape.config()))
    _json(directory / "preprocessor_config.json", _PREPROCESSOR)
    save_file(
        _part(saved.model, _ENCODER), directory / "model.safetensors", metadata={"format": "pt"}
    )
    heads = {f"phones.{name}": each for name, each in _part(saved.model, _PHONES).items()}
    save_file(heads, directory / "heads.safetensors", metadata={"format": "pt"})
    labels = {"layer": taught.phones, "labels": list(plan.phones)}
    _json(directory / "heads.json", {"phones": labels})


def config_json(config: EncoderConfig) -> dict[str, Any]:
    """Contents of a config.json."""
    sizes = {"output_hidden_size": config.hidden_size}
    return dict(sorted((_CONSTANTS | asdict(config) | sizes).items()))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): each.to(torch.float16).contiguous()
        for name, each in tensors.items()
        if name.startswith(prefix)
    }


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
