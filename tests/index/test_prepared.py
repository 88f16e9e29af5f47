import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embedsvc.errors import EmbedsvcError, InvalidArgument, TensorShape
from embedsvc.index.prepared import MAX_SEGMENTS, prepare, unit
from embedsvc.types import Metadata, Segment, Span
from tests.index.builders import DIM, recording, vector


def fault(**changes: Any) -> EmbedsvcError:
    with pytest.raises(EmbedsvcError) as caught:
        prepare(replace(recording("a"), **changes), {"": DIM})
    return caught.value


@pytest.mark.parametrize("id", ["x", "../../etc/passwd", "'; DROP TABLE recording; --", "é" * 256])
def test_any_unicode_text_is_an_id(id: str) -> None:
    assert prepare(recording(id), {"": DIM}).id == id


@pytest.mark.parametrize("id", ["", "x" * 513, "é" * 257, "\ud800", 7])
def test_an_id_is_1_to_512_bytes_of_unicode(id: str) -> None:
    error = fault(id=id)
    assert isinstance(error, InvalidArgument)
    assert error.field == "id"


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"": 1}, "metadata"),
        ({"1a": 1}, "metadata"),
        ({"a b": 1}, "metadata"),
        ({"a" * 65: 1}, "metadata"),
        ({"a\n": 1}, "metadata"),
        ({f"k{n}": n for n in range(65)}, "metadata"),
        ({"a": "x" * 4_097}, "metadata.a"),
        ({"a": "\ud800"}, "metadata.a"),
        ({"a": 2**63}, "metadata.a"),
        ({"a": -(2**70)}, "metadata.a"),
        ({"a": float("nan")}, "metadata.a"),
        ({"a": float("-inf")}, "metadata.a"),
        ({"a": None}, "metadata.a"),
        ({"a": [1]}, "metadata.a"),
        ({"a": b"x"}, "metadata.a"),
    ],
)
def test_metadata_that_cannot_be_stored_names_its_field(metadata: Metadata, field: str) -> None:
    error = fault(metadata=metadata)
    assert isinstance(error, InvalidArgument)
    assert error.field == field


def test_metadata_keeps_kinds_and_extremes() -> None:
    metadata: Metadata = {
        "a": True,
        "b": 1,
        "c": 1.0,
        "d": 2**63 - 1,
        "e": -(2**63),
        "f-g.h": "é\x00",
        "_": "",
    }
    kept = prepare(recording("a", metadata=metadata), {"": DIM})
    read = json.loads(kept.metadata)
    assert read == metadata
    assert [type(value) for value in read.values()] == [type(value) for value in metadata.values()]


@pytest.mark.parametrize("span", [(-1, 5), (5, 5), (6, 5), (0, 2**63), (0.0, 1.0)])
def test_a_span_lies_in_the_recording(span: tuple[int, int]) -> None:
    error = fault(segments=(Segment(Span(0, 1), vector(1)), Segment(Span(*span), vector(2))))
    assert isinstance(error, InvalidArgument)
    assert error.field == "segments[1].span"


def test_a_recording_has_1_to_20000_segments() -> None:
    assert fault(segments=()).field == "segments"
    one = recording("a").segments[0]
    assert fault(segments=(one,) * (MAX_SEGMENTS + 1)).field == "segments"
    assert len(prepare(replace(recording("a"), segments=(one,) * 300), {"": DIM}).rows) == 300


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(DIM, np.float32),
        np.full(DIM, np.nan, np.float32),
        np.array([np.inf] + [0] * (DIM - 1), np.float32),
        np.ones(DIM + 1, np.float32),
        np.ones((1, DIM), np.float32),
        np.ones(DIM, np.complex64),
        np.array(["x"] * DIM),
    ],
)
def test_a_vector_without_direction_in_the_space_is_refused(vector: Any) -> None:
    error = fault(segments=(Segment(Span(0, 1), vector),))
    assert isinstance(error, TensorShape)
    assert error.field == "segments[0].vector"


@pytest.mark.parametrize("length", [-1, 2**63, 1.5, True])
def test_a_length_is_a_whole_number(length: Any) -> None:
    assert fault(length=length).field == "length"


def test_a_digest_is_short_text() -> None:
    assert fault(digest="x" * 129).field == "digest"


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32, DIM, elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
    ).filter(np.any)
)
def test_any_finite_direction_becomes_a_unit_vector(array: Any) -> None:
    assert np.linalg.norm(unit(array, DIM, "query")) == pytest.approx(1.0, abs=1e-12)


def test_a_number_of_thousands_of_digits_is_a_fault_like_others() -> None:
    assert fault(metadata={"a": 10**5_000}).field == "metadata.a"
    assert fault(length=10**5_000).field == "length"
