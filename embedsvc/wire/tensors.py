"""Arrays as tensors: bytes, row-major and little-endian."""

import math
from typing import Any

import numpy as np

from embedsvc.errors import TensorShape
from embedsvc.types import Floats
from embedsvc.v1 import types_pb2

_NUMPY: dict[int, np.dtype[Any]] = {
    types_pb2.DTYPE_FLOAT32: np.dtype("<f4"),
    types_pb2.DTYPE_FLOAT16: np.dtype("<f2"),
}


def tensor_message(
    array: Floats,
    dtype: types_pb2.DType.ValueType = types_pb2.DTYPE_FLOAT32,
    *,
    as_floats: bool = False,
) -> types_pb2.Tensor:
    """`array` as a message; `as_floats` writes numbers instead of bytes."""
    if as_floats:
        return types_pb2.Tensor(
            dtype=types_pb2.DTYPE_FLOAT32, shape=array.shape, floats=array.ravel().tolist()
        )
    data = np.ascontiguousarray(array, _NUMPY[dtype]).tobytes()
    return types_pb2.Tensor(dtype=dtype, shape=array.shape, data=data)


def itemsize(dtype: types_pb2.DType.ValueType) -> int:
    """Bytes of one number."""
    return _NUMPY[dtype].itemsize


def array(message: types_pb2.Tensor, field: str, *, dimensions: int) -> Floats:
    """The array of a tensor with `dimensions` axes, as float32; it owns its memory."""
    shape = tuple(message.shape)
    if len(shape) != dimensions:
        raise TensorShape(
            f"`{field}.shape` must have {dimensions} dimensions, but is {list(shape)}",
            field=f"{field}.shape",
        )
    if message.floats:
        return _shaped(np.array(message.floats, np.float32), shape, field)
    dtype = _NUMPY.get(message.dtype or types_pb2.DTYPE_FLOAT32)
    if dtype is None:
        raise TensorShape(
            f"`{field}.dtype` must be FLOAT32 or FLOAT16, but is {message.dtype}",
            field=f"{field}.dtype",
        )
    wanted = math.prod(shape) * dtype.itemsize
    if len(message.data) != wanted:
        raise TensorShape(
            f"`{field}.data` must be {wanted} bytes for shape {list(shape)}, "
            f"but is {len(message.data)}",
            field=f"{field}.data",
            wanted_bytes=wanted,
            bytes=len(message.data),
        )
    return _shaped(np.frombuffer(message.data, dtype).astype(np.float32), shape, field)


def _shaped(numbers: Floats, shape: tuple[int, ...], field: str) -> Floats:
    if numbers.size != math.prod(shape):
        raise TensorShape(
            f"`{field}` must hold {math.prod(shape)} numbers for shape {list(shape)}, "
            f"but holds {numbers.size}",
            field=field,
        )
    return numbers.reshape(shape)
