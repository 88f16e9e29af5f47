"""ONNX Runtime, on the graph of transformers; int8 as it quantizes while it runs."""

from pathlib import Path

import numpy as np

from embedsvc.bench.engines import graph
from embedsvc.bench.engines.engine import Engine, Job, one_by_one
from embedsvc.types import Floats

_FLOAT = 1
"""The number of float32 in ONNX."""


def engines(job: Job) -> list[Engine]:
    """One utterance at a time, which is what the graph takes."""
    import onnxruntime  # noqa: PLC0415  # where it is installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(
        str(_path(job)), options, providers=["CPUExecutionProvider"]
    )

    def encode(features: Floats) -> Floats:
        given = {graph.INPUT: np.ascontiguousarray(features[None])}
        states: Floats = session.run([graph.OUTPUT], given)[0][0]
        return states

    return [Engine(f"onnxruntime {job.precision}, one by one", one_by_one(encode))]


def convert(job: Job) -> None:
    """The graph, and for int8 one of quantized weights."""
    graph.export(job)
    if job.precision != "int8":
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    quantize_dynamic(
        graph.path(job),
        _path(job),
        weight_type=QuantType.QInt8,
        per_channel=True,
        use_external_data_format=True,
        extra_options={"DefaultTensorType": _FLOAT},
    )


def _path(job: Job) -> Path:
    return graph.path(job).with_name("model.int8.onnx" if job.precision == "int8" else "model.onnx")
