"""Parts of requests that are made of the client's values."""

from collections.abc import Sequence

import numpy as np

from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter, parse
from embedsvc.types import MomentSearch, Segment
from embedsvc.v1 import collection_pb2, search_pb2
from embedsvc.wire import enums, tensors, times
from embedsvc.wire import metadata as wire_metadata

MODES = {
    "upsert": collection_pb2.WRITE_MODE_UPSERT,
    "insert": collection_pb2.WRITE_MODE_INSERT,
    "update": collection_pb2.WRITE_MODE_UPDATE,
}


def ready(
    segments: Sequence[Segment], fingerprint: str, space: str = ""
) -> collection_pb2.SegmentVectors:
    """Segments whose vectors were made before, in one space."""
    return collection_pb2.SegmentVectors(
        space_fingerprint=fingerprint,
        vectors=tensors.tensor_message(np.stack([segment.vector for segment in segments])),
        spans=[times.span_message(segment.span) for segment in segments],
        space=space,
    )


def side(name: str, where: Filter | str | None, space: str) -> search_pb2.MinePairsRequest.Side:
    """One side of a mining."""
    message = search_pb2.MinePairsRequest.Side(collection=name, space=space)
    if where is not None:
        message.filter.CopyFrom(condition(where))
    return message


def mode(name: str) -> "collection_pb2.WriteMode.ValueType":
    """What a write does about recordings that are there; raises InvalidArgument."""
    if name not in MODES:
        raise InvalidArgument(f"`mode` must be one of {', '.join(MODES)}, but is {name!r}")
    return MODES[name]


def moments(wanted: MomentSearch) -> search_pb2.MomentSearch:
    """A second look at frames; raises InvalidArgument."""
    if wanted.candidates is not None and not 1 <= wanted.candidates < 2**31:
        raise InvalidArgument(
            f"`moments.candidates` must be at least 1, but is {wanted.candidates}",
            field="moments.candidates",
        )
    return search_pb2.MomentSearch(
        method=enums.MOMENT_METHOD[wanted.method],
        candidates=wanted.candidates or 0,
        min_score=wanted.min_score,
    )


def condition(where: Filter | str) -> collection_pb2.Filter:
    """A filter, or what its text says; raises InvalidArgument."""
    return wire_metadata.condition_message(parse(where) if isinstance(where, str) else where)
