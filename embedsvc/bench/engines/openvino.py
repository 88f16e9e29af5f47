"""OpenVINO, on the graph of transformers."""

import numpy as np

from embedsvc.bench.engines import graph
from embedsvc.bench.engines.engine import Engine, Job, one_by_one
from embedsvc.types import Floats

_HINTS = {"fp32": "f32", "bf16": "bf16"}


def engines(job: Job) -> list[Engine]:
    """One utterance at a time, which is what the graph takes."""
    import openvino  # noqa: PLC0415  # where it is installed

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(graph.path(job)),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": job.threads,
            "INFERENCE_PRECISION_HINT": _HINTS[job.precision],
        },
    )

    def encode(features: Floats) -> Floats:
        states = compiled([np.ascontiguousarray(features[None])])[0][0]
        return np.array(states, np.float32)

    return [Engine(f"openvino {job.precision}, one by one", one_by_one(encode))]


def convert(job: Job) -> None:
    """The graph, which it reads as it is."""
    graph.export(job)
