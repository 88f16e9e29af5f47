"""Small random checkpoints, and the hidden states that the reference model gives for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from embedsvc.types import Ask, Floats, Frames

SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "output_hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "conv_depthwise_kernel_size": 7,
    "left_max_position_embeddings": 20,
    "right_max_position_embeddings": 5,
}


def reference(**changes: Any) -> Any:
    """A reference model whose weights are random, and all large enough to matter."""
    model: Any = Wav2Vec2BertModel(Wav2Vec2BertConfig(**(SIZES | changes)))
    model.eval()
    randomize(model)
    return model


def randomize(model: Any) -> None:
    """Give every tensor values under which a mistake in its use shows in the output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            scale = 0.3 if tensor.dim() < 2 else 1.2 / tensor[0].numel() ** 0.5
            norm = name.endswith("layer_norm.weight")
            tensor.copy_(1 + 0.2 * noise if norm else scale * noise)


def save(
    model: Any, directory: Path, tensors: Mapping[str, torch.Tensor] | None = None, **config: Any
) -> Path:
    """Write the model's config, with changes, and its tensors, or others."""
    directory.mkdir(parents=True, exist_ok=True)
    values = json.loads(model.config.to_json_string(use_diff=False)) | config
    (directory / "config.json").write_text(json.dumps(values))
    chosen = model.state_dict() if tensors is None else tensors
    save_file({k: v.contiguous() for k, v in chosen.items()}, directory / "model.safetensors")
    return directory


def utterance(length: int, seed: int = 0) -> Frames:
    """Random features of `length` frames."""
    values = np.random.default_rng([seed, length]).standard_normal((length, 160))
    return Frames(values.astype(np.float32))


def whole(frames: Frames, *layers: int) -> Ask:
    """An ask for every frame and for the moments of all of them."""
    return Ask(layers, (0, len(frames)), ((0, len(frames)),))


def states_of(model: Any, frames: Frames) -> list[Floats]:
    """Every hidden state (T, D) that the reference gives for one utterance and its mask."""
    with torch.inference_mode():
        answer = model(
            torch.from_numpy(frames.features)[None],
            attention_mask=torch.ones(1, len(frames), dtype=torch.long),
            output_hidden_states=True,
        )
    return [states[0].numpy() for states in answer.hidden_states]
