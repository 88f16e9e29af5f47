"""The model of transformers as an ONNX graph, for those who run graphs."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from embedsvc.bench.engines import stock
from embedsvc.bench.engines.engine import Job

INPUT, OUTPUT = "features", "states"
_SHORTEST, _LONGEST = 2, 30_000


class _LastStates(nn.Module):
    """The encoder with one input and one output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        states: Tensor = self.model(features).last_hidden_state
        return states


def path(job: Job) -> Path:
    """Where the graph of the checkpoint is, for all who run it."""
    return job.scratch / "graph" / "model.onnx"


def export(job: Job) -> None:
    """Write the graph, for one utterance of any length, if it is not there."""
    file = path(job)
    if file.is_file():
        return
    file.parent.mkdir(exist_ok=True)
    frames: Any = torch.export.Dim("frames", min=_SHORTEST, max=_LONGEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _LastStates(stock.load(job, "eager")).eval(),
            (torch.zeros(1, 100, 160),),
            file,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({1: frames},),
            external_data=True,
            verbose=False,
        )
