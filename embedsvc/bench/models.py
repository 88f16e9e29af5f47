"""Which checkpoint is measured: a real one, or random weights in the shape of w2v-BERT 2.0."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from embedsvc.encoder import resolve
from embedsvc.encoder.config import MODEL_TYPE, read_config
from embedsvc.encoder.tensors import SINGLE, expected_shapes
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats

RANDOM = "random-580m"
LAYERS = 24
_SEED = 580
_SHAPE: dict[str, Any] = {
    "model_type": MODEL_TYPE,
    "architectures": ["Wav2Vec2BertModel"],
    "dtype": "float32",
    "hidden_size": 1024,
    "output_hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feature_projection_input_dim": 160,
    "conv_depthwise_kernel_size": 31,
    "position_embeddings_type": "relative_key",
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "hidden_act": "swish",
    "layer_norm_eps": 1e-5,
    "layerdrop": 0.0,
    "add_adapter": False,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}


def directory_of(model: str, layers: int | None, scratch: Path) -> Path:
    """Where the files of `model` are; those of `random-580m` are written into `scratch`.

    `layers` are for the random one alone, of which fewer are as good as all to compare speeds.
    """
    if model != RANDOM:
        if layers is not None:
            raise InvalidArgument(f"`--layers` must go with --model {RANDOM}, but not with {model}")
        return resolve(model).directory
    return write_random(scratch / RANDOM, LAYERS if layers is None else layers)


def write_random(directory: Path, layers: int, **changes: Any) -> Path:
    """A checkpoint of real size whose every tensor matters, the same for the same `layers`.

    Keys of `changes` replace those of its config.json.
    """
    directory.mkdir(parents=True)
    config = {**_SHAPE, "num_hidden_layers": layers, **changes}
    (directory / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    generator = np.random.default_rng(_SEED)
    shapes = expected_shapes(read_config(directory))
    tensors = {name: _tensor(name, shape, generator) for name, shape in shapes.items()}
    save_file(tensors, directory / SINGLE)
    return directory


def _tensor(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Values under which states neither vanish nor grow, and attention is not even."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith("layer_norm.weight"):
        return 1 + np.float32(0.2) * noise
    if len(shape) == 1:
        return np.float32(0.05) * noise
    if "distance_embedding" in name:
        return np.float32(0.3) * noise
    scale = np.prod(shape[1:]) ** -0.5 * (1.5 if "linear_q" in name or "linear_k" in name else 1)
    return np.float32(scale) * noise
