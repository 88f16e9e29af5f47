"""What a graph must be before a runtime reads it: one that we could have written.

A runtime resolves the paths of weights and loads operators that a file asks for. So only plain
operators of the standard, without graphs inside, and only the one file of weights are let in.
"""

import math
import re
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
        *("GatherElements", "LayerNormalization", "Less", "MatMul", "MatMulInteger"),
        *("Max", "Min", "Mul", "Neg", "QuantizeLinear", "Range", "ReduceMax", "ReduceMin"),
        *("Relu", "Reshape", "Shape", "Sigmoid", "Sin", "Slice", "Softmax", "Split"),
        *("Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"),
    }
)
"""All that our graphs use."""

_LARGEST = 64 * 1024 * 1024
"""Bytes of a graph without its weights; one of 24 layers has about one megabyte."""

_PLAIN = {onnx.AttributeProto.FLOAT, onnx.AttributeProto.INT, onnx.AttributeProto.INTS}
"""Attributes that are numbers, and neither graphs nor tensors with files of their own."""


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
    if model.functions or model.training_info:
        yield "has functions or training of its own"


def _node_faults(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        if node.domain or node.op_type not in OPERATORS:
            yield f"has the operator {_quoted(f'{node.domain}:{node.op_type}')}"
        if any(attribute.type not in _PLAIN for attribute in node.attribute):
            yield f"has more than numbers inside of {_quoted(node.op_type)}"


def _interface_faults(graph: onnx.GraphProto, layers: Sequence[int]) -> Iterator[str]:
    inputs, outputs = ([value.name for value in ends] for ends in (graph.input, graph.output))
    if inputs != [FEATURES, LENGTHS] or outputs != [output_name(layer) for layer in layers]:
        yield f"has other inputs or outputs than its layers {list(layers)} need"


def _tensor_faults(tensor: TensorProto, size: int) -> Iterator[str]:
    name, said = _quoted(tensor.name), tensor.external_data
    if tensor.data_location != TensorProto.EXTERNAL:
        if said:
            yield f"has {name} in two places"
        return
    entries = {entry.key: entry.value for entry in said}
    if sorted(entry.key for entry in said) != ["length", "location", "offset"]:
        yield f"says of {name} more or less than where it is"
    elif entries["location"] != WEIGHTS_FILE:
        yield f"has {name} in {_quoted(entries['location'])}, which is not {WEIGHTS_FILE}"
    elif not all(_NUMBER.fullmatch(entries[key]) for key in ("offset", "length")):
        yield f"does not say where {name} is"
    elif tensor.data_type not in _ITEM_BYTES:
        yield f"has {name} in numbers that are none of ours"
    elif int(entries["offset"]) + int(entries["length"]) > size:
        yield f"has {name} beyond the end of {WEIGHTS_FILE}"
    elif math.prod(tensor.dims) * _ITEM_BYTES[tensor.data_type] != int(entries["length"]):
        yield f"has another shape for {name} than its bytes"


def _quoted(text: str) -> str:
    """Text of a file that nobody trusts, fit for a terminal."""
    return repr(text[:80])


_NUMBER = re.compile("[0-9]{1,15}")
_ITEM_BYTES: dict[int, int] = {
    kind: helper.tensor_dtype_to_np_dtype(kind).itemsize
    for kind in (TensorProto.FLOAT, TensorProto.INT8)
}
"""Types of weights, and the bytes of one value."""
