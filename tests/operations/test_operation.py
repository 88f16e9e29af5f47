import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DiskFull, SpaceMismatch
from embedsvc.operations.operation import Operation, Progress, from_bytes, to_bytes

OPEN = Operation(
    "0" * 32, "fit", "collections/x", {"a": [1, "ü"]}, 1.5, 2.5, Progress(3, 9, "x"), 1
)


@pytest.mark.parametrize(
    "operation", [OPEN, Operation("1" * 32, "fit", "t", {}, 1, 2, result={"dim": 4})]
)
def test_what_was_kept_is_read(operation: Operation) -> None:
    assert from_bytes(to_bytes(operation)) == operation


@pytest.mark.parametrize("kind", [SpaceMismatch, DiskFull])
def test_an_error_is_the_same_again(kind: type[SpaceMismatch | DiskFull]) -> None:
    failed = Operation("1" * 32, "fit", "t", {}, 1, 2, error=kind("`x` is", field="x", limit=3))
    again = from_bytes(to_bytes(failed))
    assert again is not None
    assert again.done
    assert type(again.error) is kind
    assert vars(again.error) == vars(failed.error)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_operation_are_none(data: bytes) -> None:
    assert from_bytes(data) is None


@pytest.mark.parametrize("cut", [1, 20, 100, -1])
def test_a_part_of_one_is_none(cut: int) -> None:
    assert from_bytes(to_bytes(OPEN)[:cut]) is None
