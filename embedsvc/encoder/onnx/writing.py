"""From a checkpoint to the files of an exported model."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from embedsvc.encoder.checkpoints import Checkpoint
from embedsvc.encoder.heads import CHOICES_FILE, TENSORS_FILE
from embedsvc.encoder.onnx.graph import MODEL_FILE, OPSET, WEIGHTS_FILE, Graph, Weights
from embedsvc.encoder.onnx.manifest import Manifest, digests
from embedsvc.encoder.onnx.network import build
from embedsvc.encoder.onnx.products import Multiply, exact, quantized
from embedsvc.encoder.profiles import read_profiles
from embedsvc.encoder.projections import (
    DEFAULTS_FILE,
    PROJECTIONS_FILE,
    Defaults,
    read_defaults,
    read_projections,
)
from embedsvc.encoder.tensors import read_tensors
from embedsvc.types import ExportFormat

BESIDE = (
    "config.json",
    "preprocessor_config.json",
    PROJECTIONS_FILE,
    CHOICES_FILE,
    TENSORS_FILE,
    "README.md",
    "LICENSE",
)
"""Files of a checkpoint that its export brings too, those that say its license among them."""

_PRODUCTS: dict[ExportFormat, Multiply] = {
    ExportFormat.ONNX: exact,
    ExportFormat.ONNX_INT8: quantized,
}


def write(
    checkpoint: Checkpoint, directory: Path, kind: ExportFormat, layers: Sequence[int]
) -> Manifest:
    """Fill `directory` with a model that gives the hidden states of `layers`, in order.

    The manifest, which the caller completes and writes, is all that is still missing.
    """
    for name in BESIDE:
        if (checkpoint.directory / name).is_file():
            shutil.copyfile(checkpoint.directory / name, directory / name)
    choices = asdict(_defaults(checkpoint, layers)) | {"profiles": _profiles(checkpoint, layers)}
    (directory / DEFAULTS_FILE).write_text(f"{json.dumps(choices)}\n", encoding="utf-8")
    parameters = _write_graph(checkpoint, directory, kind, layers)
    return Manifest(
        format=kind,
        opset=OPSET,
        layers=tuple(layers),
        model=checkpoint.name,
        weights=checkpoint.weights,
        parameters=parameters,
        files=digests(directory),
        quality={},
        vector=(),
    )


def _write_graph(
    checkpoint: Checkpoint, directory: Path, kind: ExportFormat, layers: Sequence[int]
) -> int:
    """Write graph and weights; the number of values of the checkpoint that are in them."""
    tensors = read_tensors(checkpoint.directory, checkpoint.files, checkpoint.config)
    count = sum(tensor.numel() for tensor in tensors.values())
    with Weights(directory / WEIGHTS_FILE) as weights:
        model = build(Graph(weights), tensors, checkpoint.config, layers, _PRODUCTS[kind])
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())
    return count - sum(tensor.numel() for tensor in tensors.values())


def _profiles(checkpoint: Checkpoint, layers: Sequence[int]) -> dict[str, dict[str, object]]:
    """Those of the checkpoint whose layers are not left out."""
    config, directory = checkpoint.config, checkpoint.directory
    projections = read_projections(directory, config.hidden_size, config.num_hidden_layers)
    profiles = read_profiles(directory, config, projections).values()
    return {
        each.name: {name: value for name, value in asdict(each).items() if name != "name"}
        for each in profiles
        if each.layer in layers
    }


def _defaults(checkpoint: Checkpoint, layers: Sequence[int]) -> Defaults:
    """Those of the checkpoint, but of the deepest layer where theirs is left out."""
    config, directory = checkpoint.config, checkpoint.directory
    projections = read_projections(directory, config.hidden_size, config.num_hidden_layers)
    defaults = read_defaults(directory, config.num_hidden_layers, projections)
    if defaults.layer in layers:
        return defaults
    layer, pooling, projection = layers[-1], defaults.pooling, defaults.projection
    has = projections.has(projection, layer, pooling)
    return Defaults(layer, pooling, projection if has else "")
