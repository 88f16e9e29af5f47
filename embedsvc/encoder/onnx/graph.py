"""An ONNX graph as it grows, with its weights in a file beside it."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The first with LayerNormalization; every onnxruntime since 1.12 reads it."""

IR_VERSION = 8
"""The file format that came with the opset: newer ones would shut out older readers."""

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"

_PAGE = 4096
"""Weights begin on a page of memory, so that a runtime can map the file."""

_INLINE = 1024
"""Bytes up to which a tensor is kept in the graph itself."""

Array = NDArray[Any]


class Weights:
    """The file of weights, written one after the other so that no two need be in memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, name: str, array: Array) -> TensorProto:
        """Description of a tensor whose bytes are now in the file."""
        self._file.write(bytes(-self._file.tell() % _PAGE))
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (
            ("location", WEIGHTS_FILE),
            ("offset", offset),
            ("length", array.nbytes),
        ):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


class Graph:
    """Nodes in order of use; a value is known by its name."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, TensorProto] = {}
        self._counts: dict[str, int] = {}
        self._known: dict[bytes, str] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Result of one operator; the same of the same is there but once."""
        node = helper.make_node(operator, list(inputs), [""], **attributes)
        key = node.SerializeToString()
        if key not in self._known:
            node.name = node.output[0] = self._known[key] = self._name(operator)
            self._nodes.append(node)
        return self._known[key]

    def give(self, result: str, operator: str, *inputs: str) -> None:
        """Result of one operator under a name that others rely on."""
        self._nodes.append(helper.make_node(operator, list(inputs), [result], name=result))

    def halves(self, value: str) -> tuple[str, str]:
        """First and second half of the last dimension."""
        name = self._name("Split")
        first, second = f"{name}_first", f"{name}_second"
        self._nodes.append(helper.make_node("Split", [value], [first, second], name=name, axis=-1))
        return first, second

    def weight(self, name: str, array: Array) -> str:
        """Tensor of a checkpoint, under its name there."""
        inline = array.nbytes <= _INLINE
        self._tensors[name] = (
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            if inline
            else self._weights.put(name, array)
        )
        return name

    def number(self, value: float) -> str:
        """Constant in float32."""
        return self.constant(np.array(value, np.float32))

    def whole(self, value: int) -> str:
        """Constant of one whole number."""
        return self.constant(np.array(value, np.int64))

    def row(self, *values: int) -> str:
        """Constant list of whole numbers: axes, or a shape."""
        return self.constant(np.array(values, np.int64))

    def constant(self, array: Array) -> str:
        """Small constant of any type; equal ones are one."""
        values = "_".join(map(str, array.reshape(-1)))
        name = f"{array.dtype}_{'x'.join(map(str, array.shape))}_{values}"
        self._tensors.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def finish(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.ModelProto:
        """The model; everything that was added is in it."""
        tensors = list(self._tensors.values())
        graph = helper.make_graph(
            self._nodes, "encoder", list(inputs), list(outputs), initializer=tensors
        )
        return helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="embedsvc",
        )

    def _name(self, operator: str) -> str:
        number = self._counts[operator] = self._counts.get(operator, -1) + 1
        return f"{operator}_{number}"
