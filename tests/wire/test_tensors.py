import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embedsvc.errors import TensorShape
from embedsvc.types import Floats
from embedsvc.v1 import types_pb2
from embedsvc.wire.tensors import array, itemsize, tensor_message

shapes = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
floats32 = shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape))
floats16 = shapes.flatmap(lambda shape: arrays.arrays(np.float16, shape))


def sent(message: types_pb2.Tensor) -> types_pb2.Tensor:
    """The message as the other side reads it."""
    return types_pb2.Tensor.FromString(message.SerializeToString())


@settings(max_examples=60, deadline=None)
@given(wave=floats32, as_floats=st.booleans())
def test_float32_survives_bit_for_bit(wave: Floats, as_floats: bool) -> None:
    found = array(sent(tensor_message(wave, as_floats=as_floats)), "t", dimensions=wave.ndim)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wave)


@settings(max_examples=40, deadline=None)
@given(floats16)
def test_float16_survives_as_float32(
    half: np.ndarray[tuple[int, ...], np.dtype[np.float16]],
) -> None:
    wave = half.astype(np.float32)
    message = sent(tensor_message(wave, types_pb2.DTYPE_FLOAT16))
    assert len(message.data) == 2 * wave.size
    found = array(message, "t", dimensions=wave.ndim)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wave)


def test_the_bytes_are_row_major_and_little_endian() -> None:
    columns = np.asfortranarray(np.array([[1, 2], [3, 4]], ">f4"))
    message = tensor_message(columns.astype(np.float32, order="K"))
    assert message.data == np.array([1, 2, 3, 4], "<f4").tobytes()
    assert list(message.shape) == [2, 2]
    assert list(tensor_message(columns.T.astype(np.float32), as_floats=True).floats) == [1, 3, 2, 4]


def test_an_array_owns_its_memory_and_may_be_changed() -> None:
    message = tensor_message(np.ones(3, np.float32))
    found = array(message, "t", dimensions=1)
    found[:] = 2
    np.testing.assert_array_equal(array(message, "t", dimensions=1), np.ones(3))


def test_the_type_of_bytes_is_float32_unless_it_is_said() -> None:
    data = np.ones(2, "<f4").tobytes()
    message = types_pb2.Tensor(shape=[2], data=data)
    np.testing.assert_array_equal(array(message, "t", dimensions=1), np.ones(2))
    assert itemsize(types_pb2.DTYPE_FLOAT32) == 4
    assert itemsize(types_pb2.DTYPE_FLOAT16) == 2


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (types_pb2.Tensor(), "q.shape", r"1 dimensions, but is \[\]"),
        (types_pb2.Tensor(shape=[1, 2], data=bytes(8)), "q.shape", r"but is \[1, 2\]"),
        (types_pb2.Tensor(shape=[2], data=bytes(7)), "q.data", "must be 8 bytes .* but is 7"),
        (types_pb2.Tensor(shape=[2]), "q.data", "must be 8 bytes"),
        (types_pb2.Tensor(shape=[2**32 - 1], data=b"x"), "q.data", "but is 1"),
        (types_pb2.Tensor(shape=[2], floats=[1, 2, 3]), "q", "2 numbers .* but holds 3"),
        (types_pb2.Tensor(shape=[1], data=bytes(4), dtype=9), "q.dtype", "but is 9"),  # type: ignore[arg-type]  # a number of the future
    ],
)
def test_what_does_not_fit_is_named(message: types_pb2.Tensor, field: str, text: str) -> None:
    with pytest.raises(TensorShape, match=text) as caught:
        array(message, "q", dimensions=1)
    assert caught.value.field == field
