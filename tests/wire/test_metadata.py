import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.filters import (
    MAX_DEPTH,
    MAX_NODES,
    And,
    Equals,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
)
from embedsvc.types import MetadataValue
from embedsvc.v1 import collection_pb2
from embedsvc.wire.metadata import (
    condition,
    condition_message,
    metadata,
    metadata_message,
    value,
    value_message,
)

Message = collection_pb2.Filter
THERE = Message(exists=Message.Exists(field="a"))

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = texts | numbers | st.booleans()
ranges = st.builds(
    lambda field, bounds: Range(field, **bounds),
    names,
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), texts | numbers, min_size=1),
)
leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, names, values),
    st.builds(In, names, st.lists(values, max_size=3).map(tuple)),
    ranges,
    st.builds(Exists, names),
)


def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, inner))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, values, max_size=5))
def test_metadata_survives_with_its_types(found: dict[str, MetadataValue]) -> None:
    message = collection_pb2.Recording(metadata=metadata_message(found))
    back = metadata(collection_pb2.Recording.FromString(message.SerializeToString()).metadata, "m")
    assert back == found
    assert {name: type(v) for name, v in back.items()} == {n: type(v) for n, v in found.items()}


@settings(max_examples=80, deadline=None)
@given(st.recursive(leaves, joined, max_leaves=8))
def test_filters_survive(tree: Filter) -> None:
    message = Message.FromString(condition_message(tree).SerializeToString())
    assert repr(condition(message)) == repr(tree)  # 1, 1.0 and True are equal


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_integer_of_more_than_64_bits_is_refused(number: int) -> None:
    with pytest.raises(InvalidArgument, match=f"64 bits, but one is {number}"):
        value_message(number)


def test_a_value_without_a_kind_is_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        value(collection_pb2.Value(), "v")
    assert caught.value.field == "v"
    with pytest.raises(InvalidArgument) as caught:
        metadata({"year": collection_pb2.Value()}, "recording.metadata")
    assert caught.value.field == "recording.metadata['year']"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message(), "filter"),
        (Message(equals=Message.Equals(field="a")), "filter.equals.value"),
        (Message(equals=Message.Equals(value=value_message(1))), "filter.equals.field"),
        (Message(one_of=Message.In()), "filter.one_of.field"),
        (Message(exists=Message.Exists()), "filter.exists.field"),
        (Message(range=Message.Range(field="a")), "filter.range"),
        (Message(range=Message.Range(gt=value_message(1))), "filter.range.field"),
        (
            Message(range=Message.Range(field="a", lte=value_message(value=True))),
            "filter.range.lte",
        ),
        (Message(negated=Message()), "filter.negated"),
        (
            Message(
                all_of=Message.List(filters=[Message(exists=Message.Exists(field="a")), Message()])
            ),
            "filter.all_of.filters[1]",
        ),
        (
            Message(any_of=Message.List(filters=[Message(negated=Message())])),
            "filter.any_of.filters[0].negated",
        ),
    ],
)
def test_the_part_of_a_filter_at_fault_is_named(message: Message, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        condition(message)
    assert caught.value.field == field


def test_a_filter_has_a_depth_and_a_size_we_evaluate() -> None:
    tree: Filter = Exists("a")
    for _ in range(MAX_DEPTH - 1):
        tree = And((tree,))
    assert condition(condition_message(tree)) == tree
    with pytest.raises(InvalidArgument, match="nested at most 24 deep"):
        condition(condition_message(Not(tree)))
    wide = Or((Exists("a"),) * (MAX_NODES - 1))
    assert condition(condition_message(wide)) == wide
    with pytest.raises(InvalidArgument, match="at most 256 conditions"):
        condition(condition_message(Or((*wide.clauses, Exists("a")))))
