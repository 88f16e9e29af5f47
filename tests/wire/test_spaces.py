import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    FittedInfo,
    IndexInfo,
    OutputSpec,
    Pooling,
    Segmentation,
    Space,
    SpaceInfo,
    TransformRecipe,
    Windowing,
)
from embedsvc.v1 import collection_pb2, embedding_pb2, types_pb2
from embedsvc.wire import spaces

texts = st.text(st.characters(codec="utf-8"), max_size=8)
lengths = st.integers(0, 10**9)
windowings = st.builds(Windowing, lengths, lengths)
layers = st.integers(-(2**31), 2**31 - 1)
found_spaces = st.builds(
    Space,
    fingerprint=st.text("0123456789abcdef", min_size=1, max_size=128),
    model=texts,
    weights=texts,
    layer=layers,
    pooling=st.sampled_from(Pooling),
    windowing=windowings,
    projection=texts,
    normalized=st.booleans(),
    dim=st.integers(1, 65_536),
)
specs = st.builds(
    OutputSpec,
    name=texts,
    layer=st.none() | layers,
    pooling=st.none() | st.sampled_from(Pooling),
    projection=st.none() | texts,
    normalize=st.none() | st.booleans(),
    profile=texts,
)


@settings(max_examples=40, deadline=None)
@given(found_spaces)
def test_spaces_survive(space: Space) -> None:
    message = types_pb2.Space.FromString(spaces.space_message(space).SerializeToString())
    assert spaces.space(message) == space


@settings(max_examples=40, deadline=None)
@given(found_spaces, texts, st.booleans())
def test_spaces_of_collections_survive(space: Space, name: str, fitted: bool) -> None:
    recipe = TransformRecipe(language="lang", dim=3)
    info = SpaceInfo(
        name=name,
        space=space,
        fitted=FittedInfo(2, "d1", 3, recipe, 99, 1.5) if fitted else None,
        index=IndexInfo("hnsw32-sq8", 0.97, 0.95, 400, 40_000, "why"),
    )
    data = spaces.space_info_message(info).SerializeToString()
    assert spaces.space_info(collection_pb2.CollectionSpace.FromString(data)) == info


@settings(max_examples=40, deadline=None)
@given(specs)
def test_output_choices_survive_with_what_they_leave_open(spec: OutputSpec) -> None:
    data = spaces.spec_message(spec).SerializeToString()
    assert spaces.spec(embedding_pb2.OutputSpec.FromString(data), "s") == spec


@settings(max_examples=40, deadline=None)
@given(windowing=windowings, length=lengths, hop=lengths)
def test_windowings_and_segmentations_survive(windowing: Windowing, length: int, hop: int) -> None:
    assert spaces.windowing(spaces.windowing_message(windowing), "w") == windowing
    segmentation = Segmentation(length, hop)
    assert spaces.segmentation(spaces.segmentation_message(segmentation), "s") == segmentation


def test_what_is_absent_has_its_default() -> None:
    assert spaces.windowing(types_pb2.Windowing(), "w") == Windowing()
    assert spaces.spec(embedding_pb2.OutputSpec(), "s") == OutputSpec()
    assert spaces.segmentation(collection_pb2.Segmentation(), "s") == Segmentation()
    half = spaces.segmentation(collection_pb2.Segmentation(length=Duration(seconds=4)), "s")
    assert half == Segmentation(64_000, 32_000)


def test_a_space_made_elsewhere_needs_only_a_fingerprint_and_a_size() -> None:
    space = spaces.space(types_pb2.Space(fingerprint="mine", dim=3))
    assert (space.fingerprint, space.dim, space.pooling) == ("mine", 3, Pooling.MEAN)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (types_pb2.Space(dim=1), "space.fingerprint"),
        (types_pb2.Space(fingerprint="f" * 129, dim=1), "space.fingerprint"),
        (types_pb2.Space(fingerprint="f"), "space.dim"),
        (types_pb2.Space(fingerprint="f", dim=65_537), "space.dim"),
        (types_pb2.Space(fingerprint="f", dim=1, pooling=77), "space.pooling"),  # type: ignore[arg-type]  # a number of the future
        (
            types_pb2.Space(
                fingerprint="f", dim=1, windowing=types_pb2.Windowing(length=Duration(seconds=-1))
            ),
            "space.windowing.length",
        ),
    ],
)
def test_the_part_of_a_space_at_fault_is_named(message: types_pb2.Space, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        spaces.space(message)
    assert caught.value.field == field


def test_a_space_is_described_with_its_projection() -> None:
    space = Space("f00", "mini", "", 4, Pooling.MEAN_STD, Windowing(), "standard", False, 192)
    assert spaces.describe(space) == "mini layer 4, mean_std, standard, windows of 20 s + 1 s (f00)"
