"""What a graph must be before a runtime reads it: one that we could have written.

A runtime resolves the paths of weights and loads operators that a file asks for. So only plain
operators of the standard, without graphs inside, and only the one file of weights are let in.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from embedsvc.encoder.onnx.graph import MODEL_FILE, OPSET, WEIGHTS_FILE
from embedsvc.encoder.onnx.manifest import fault
from embedsvc.encoder.onnx.network import FEATURES, LENGTHS, output_name

OPERATORS = frozenset(
    {
        *("Add", "Cast", "Concat", "Conv", "Cos", "Div", "Erf", "Expand", "Gather"),
        *("GatherElements", "LayerNormalization", "Less", "MatMul", "MatMulInteger", "Max", "Min"),
        *(
            "Mul",
            "Neg",
            "QuantizeLinear",
            "Range",
            "ReduceMax",
            "ReduceMin",
            "Relu",
            "Reshape",
            "Shape",
        ),
        *("Sigmoid", "Sin", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Transpose"),
        *("Unsqueeze", "Where"),
    }
)
"""All that our graphs use."""

_LARGEST = 64 * 1024 * 1024
"""Bytes of a graph without its weights; one of 24 layers has about one megabyte."""

_INNER = {
    onnx.AttributeProto.GRAPH,
    onnx.AttributeProto.GRAPHS,
    onnx.AttributeProto.TENSOR,
    onnx.AttributeProto.TENSORS,
    onnx.AttributeProto.SPARSE_TENSOR,
    onnx.AttributeProto.SPARSE_TENSORS,
}


def check_graph(directory: Path, layers: Sequence[int]) -> None:
    """Raise `FailedPrecondition` unless the graph is one that a runtime may be given."""
    model = _read(directory / MODEL_FILE)
    size = (directory / WEIGHTS_FILE).stat().st_size
    faults = [
        *_header_faults(model),
        *_node_faults(model.graph.node),
        *_interface_faults(model.graph, layers),
    ]
    for tensor in model.graph.initializer:
        faults.extend(_tensor_faults(tensor, size))
    if model.graph.sparse_initializer:
        faults.append("has sparse weights")
    if faults:
        raise fault(f"{MODEL_FILE} {faults[0]}")


def _read(path: Path) -> onnx.ModelProto:
    if path.stat().st_size > _LARGEST:
        raise fault(f"{path.name} is larger than {_LARGEST} bytes")
    try:
        return onnx.ModelProto.FromString(path.read_bytes())
    except Exception as error:
        # Of protobuf, which this room does not know.
        raise fault(f"{path.name} is truncated or damaged") from error


def _header_faults(model: onnx.ModelProto) -> Iterator[str]:
    opsets = [(each.domain, each.version) for each in model.opset_import]
    if opsets != [("", OPSET)]:
        yield f"needs operators other than those of opset {OPSET}"
    if model.functions:
        yield "has functions of its own"


def _node_faults(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        if node.domain or node.op_type not in OPERATORS:
            yield f"has the operator {node.domain}:{node.op_type}"
        if any(attribute.type in _INNER for attribute in node.attribute):
            yield f"has a graph or a tensor inside of {node.op_type}"


def _interface_faults(graph: onnx.GraphProto, layers: Sequence[int]) -> Iterator[str]:
    inputs, outputs = ([value.name for value in ends] for ends in (graph.input, graph.output))
    if inputs != [FEATURES, LENGTHS] or outputs != [output_name(layer) for layer in layers]:
        yield f"has other inputs or outputs than its layers {list(layers)} need"


def _tensor_faults(tensor: TensorProto, size: int) -> Iterator[str]:
    if tensor.data_location != TensorProto.EXTERNAL:
        if tensor.external_data:
            yield f"has {tensor.name} in two places"
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if entries.get("location") != WEIGHTS_FILE:
        yield f"has {tensor.name} in {entries.get('location')!r}, which is not {WEIGHTS_FILE}"
        return
    places = [entries.get("offset", ""), entries.get("length", "")]
    if not all(place.isascii() and place.isdigit() for place in places):
        yield f"does not say where {tensor.name} is"
        return
    offset, length = map(int, places)
    if tensor.data_type not in _ITEM_BYTES or offset + length > size:
        yield f"has {tensor.name} beyond the end of {WEIGHTS_FILE}"
    elif math.prod(tensor.dims) * _ITEM_BYTES[tensor.data_type] != length:
        yield f"has another shape for {tensor.name} than its bytes"


_ITEM_BYTES: dict[int, int] = {
    kind: helper.tensor_dtype_to_np_dtype(kind).itemsize
    for kind in (TensorProto.FLOAT, TensorProto.INT8)
}
"""Types of weights, and the bytes of one value."""
