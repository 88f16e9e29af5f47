"""Exports of small checkpoints, and the batches that a session of their runtime takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.onnx import Manifest, default_vector, write
from embedsvc.types import ExportFormat, Floats, Frames
from tests.encoder.reference import utterance

CLIP = utterance(40, seed=9)
"""Stands for the clip that every export is checked with."""


def exported(
    source: Path, directory: Path, kind: ExportFormat = ExportFormat.ONNX, *layers: int
) -> Manifest:
    """Export a checkpoint, all layers of it unless some are named, without a gate."""
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = resolve(str(source))
    chosen = layers or tuple(range(checkpoint.config.num_hidden_layers + 1))
    manifest = write(checkpoint, directory, kind, chosen)
    vector = default_vector(Encoder.load(checkpoint), CLIP)
    manifest = Manifest(**(vars(manifest) | {"vector": tuple(map(float, vector))}))
    manifest.write(directory)
    return manifest


def session(directory: Path) -> Any:
    """What any user of the file would make, without a line of ours."""
    return onnxruntime.InferenceSession(
        directory / "model.onnx", providers=["CPUExecutionProvider"]
    )


def padded(utterances: Sequence[Frames], filling: float) -> dict[str, Any]:
    """One batch as long as its longest utterance, `filling` where the others have ended."""
    lengths = [len(each) for each in utterances]
    features = np.full((len(lengths), max(lengths), 160), filling, np.float32)
    for row, each in zip(features, utterances, strict=True):
        row[: len(each)] = each.features
    return {"features": features, "lengths": np.array(lengths)}


def states(made: Any, utterances: Sequence[Frames], filling: float = 0.0) -> list[list[Floats]]:
    """Every output of a padded batch: of each utterance each layer, (T, D)."""
    outputs = made.run(None, padded(utterances, filling))
    return [[output[row, : len(each)] for output in outputs] for row, each in enumerate(utterances)]
