"""Vectors made before, checked against the spaces of the collection they are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedsvc.errors import InvalidArgument
from embedsvc.index import Collection
from embedsvc.pipeline.second_stage import same_space
from embedsvc.types import Segment, Space


@dataclass(frozen=True)
class ReadySpace:
    """Segments of a recording in the space called `space`, empty for the first.

    `fingerprint` says which space the vectors are of; `field` is where they are in the request.
    """

    segments: tuple[Segment, ...]
    fingerprint: str
    space: str = ""
    field: str = "vectors"


@dataclass(frozen=True)
class ReadyVectors:
    """A recording whose vectors were made before, in each space of its collection."""

    spaces: tuple[ReadySpace, ...]


def segments_of(ready: ReadyVectors, collection: Collection) -> tuple[Segment, ...]:
    """Segments with a vector of every space of the collection.

    Raises InvalidArgument unless each space is there once with the same spans, and SpaceMismatch.
    """
    given = _by_name(ready.spaces, collection)
    columns = [
        _checked(name, space, given, collection.name) for name, space in collection.spaces.items()
    ]
    spans = [segment.span for segment in columns[0].segments]
    for column in columns[1:]:
        if [segment.span for segment in column.segments] != spans:
            raise InvalidArgument(
                f"`{column.field}.spans` must be those of `{columns[0].field}`, but are others",
                field=f"{column.field}.spans",
            )
    vectors = zip(*([each.vector for each in column.segments] for column in columns), strict=True)
    return tuple(Segment.of(*each) for each in zip(spans, vectors, strict=True))


def _by_name(parts: Sequence[ReadySpace], collection: Collection) -> dict[str, ReadySpace]:
    given: dict[str, ReadySpace] = {}
    for part in parts:
        try:
            name = collection.space_name(part.space)
        except InvalidArgument as error:
            raise error.at(part.field) from error
        if name in given:
            raise InvalidArgument(
                f"`{part.field}.space` must be given once, but {name!r} is given twice",
                field=f"{part.field}.space",
            )
        given[name] = part
    return given


def _checked(
    name: str, space: Space, given: Mapping[str, ReadySpace], collection: str
) -> ReadySpace:
    part = given.get(name)
    if part is None:
        raise InvalidArgument(
            f"`content` must have vectors of every space of {collection!r}, but none of {name!r}",
            field="content",
        )
    same_space(space, part.fingerprint, f"{part.field}.space_fingerprint")
    return part
