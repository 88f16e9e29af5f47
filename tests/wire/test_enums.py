from collections.abc import Mapping
from enum import StrEnum

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from embedsvc.errors import InvalidArgument
from embedsvc.types import ChannelPolicy, Lane, Pooling, SampleFormat, WarningCode
from embedsvc.v1 import types_pb2
from embedsvc.wire import enums

TABLES = [
    (enums.POOLING, Pooling, types_pb2.Pooling),
    (enums.CHANNELS, ChannelPolicy, types_pb2.ChannelPolicy),
    (enums.FORMAT, SampleFormat, types_pb2.SampleFormat),
    (enums.LANE, Lane, types_pb2.Lane),
    (enums.WARNING, WarningCode, types_pb2.WarningCode),
]


@pytest.mark.parametrize(("table", "values", "theirs"), TABLES)
def test_a_table_has_all_of_both_sides_and_every_value_survives(
    table: Mapping[StrEnum, int], values: type[StrEnum], theirs: EnumTypeWrapper
) -> None:
    assert table.keys() == set(values)
    assert {*table.values(), 0} == set(theirs.values())
    for value, number in table.items():
        assert enums.ours(table, number, "f") is value
        name = str(theirs.Name(number))
        assert name.removesuffix("LE").endswith(f"_{value.name}")


def test_a_number_that_is_not_in_the_table_is_refused_with_those_that_are() -> None:
    for number in (0, 17, -1):
        with pytest.raises(InvalidArgument) as caught:
            enums.ours(enums.CHANNELS, number, "policy")
        assert caught.value.field == "policy"
        assert caught.value.message == (
            f"`policy` must be one of MIX (1), FIRST (2), REJECT (3), but is {number}"
        )
