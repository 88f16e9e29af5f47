"""Runs exported models with onnxruntime, behind the same `Encoder` as checkpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from embedsvc.encoder.config import read_config
from embedsvc.encoder.model import Encoder, usable_device
from embedsvc.encoder.onnx.checks import check_graph
from embedsvc.encoder.onnx.graph import MODEL_FILE
from embedsvc.encoder.onnx.manifest import Manifest, digests, fault, read_manifest
from embedsvc.encoder.onnx.network import FEATURES, LENGTHS, output_name
from embedsvc.encoder.onnx.quality import check_here
from embedsvc.encoder.profiles import read_profiles
from embedsvc.encoder.projections import read_defaults, read_projections
from embedsvc.types import Frames, Runtime

_ERRORS_ONLY = 3


@dataclass(frozen=True)
class ExportedNetwork:
    """A session in place of the blocks of a network; it knows the hidden states of `layers`."""

    session: Any
    layers: tuple[int, ...]

    def hidden_states(
        self, inputs: Tensor, lengths: Sequence[int], deepest: int
    ) -> Iterator[Tensor]:
        """States (N, C) of layers 0 to `deepest`; those of other layers than ours are (N, 0).

        Utterances run one by one: a padded batch takes longer than its parts (on processors).
        """
        ours = [layer for layer in self.layers if layer <= deepest]
        parts = [self._run(part, ours) for part in inputs.split_with_sizes(list(lengths))]
        found = dict(zip(ours, map(torch.cat, zip(*parts, strict=True)), strict=True))
        for layer in range(deepest + 1):
            yield found.get(layer, inputs.new_empty(len(inputs), 0))

    def _run(self, features: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """States (T, C) of each layer from features (T, 160); the whole graph runs for any."""
        if not layers:
            return []
        given = {FEATURES: features[None].numpy(), LENGTHS: np.array([len(features)])}
        states = self.session.run([output_name(layer) for layer in layers], given)
        return [torch.from_numpy(each[0]) for each in states]


def load_exported(directory: Path, clip: Frames, threads: int | None = None) -> Encoder:
    """Encoder of an exported model, after its files and what it makes of `clip` were checked.

    `threads` sets those of the runtime, and torch's for the whole process.
    """
    manifest = read_manifest(directory)
    if digests(directory) != manifest.files:
        raise fault("its files are not those that were exported: export it again")
    encoder = open_exported(directory, manifest, threads)
    check_here(encoder, clip, manifest.vector)
    return encoder


def open_exported(directory: Path, manifest: Manifest, threads: int | None = None) -> Encoder:
    """Encoder of the files that a manifest describes."""
    if threads is not None:
        torch.set_num_threads(threads)
    config = read_config(directory)
    layers = config.num_hidden_layers
    if manifest.layers[-1] > layers:
        raise fault(f"it says layer {manifest.layers[-1]} of {layers}")
    check_graph(directory, manifest.layers)
    projections = read_projections(directory, config.hidden_size, layers)
    defaults = read_defaults(directory, layers, projections)
    if defaults.layer not in manifest.layers:
        raise fault(f"its default is layer {defaults.layer}, which it has not")
    return Encoder(
        name=manifest.model,
        weights=manifest.weights,
        dim=config.hidden_size,
        layers=layers,
        parameters=manifest.parameters,
        device=usable_device("cpu"),
        defaults=defaults,
        projections=projections,
        network=ExportedNetwork(_session(directory / MODEL_FILE, threads), manifest.layers),
        precision=manifest.format.precision,
        why="as it was exported",
        how="one by one",
        runtime=Runtime.ONNXRUNTIME,
        exported=manifest.layers,
        profiles=read_profiles(directory, config, projections),
    )


def _session(path: Path, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or 0
    # Memory is planned for each length that comes, and kept: lengths of speech never end.
    options.enable_mem_pattern = False
    # Threads that wait for work in a loop would take it from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors have no base but this.
        raise fault(f"onnxruntime can not load {path.name}") from error
