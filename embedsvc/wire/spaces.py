"""Output choices, windowings, segmentations and spaces as messages."""

import re
from collections.abc import Sequence

from embedsvc.errors import InvalidArgument
from embedsvc.timing import to_seconds
from embedsvc.types import (
    FittedInfo,
    IndexInfo,
    MomentCodes,
    OutputSpec,
    Pooling,
    Segmentation,
    Space,
    SpaceInfo,
    TransformRecipe,
    Windowing,
)
from embedsvc.v1 import collection_pb2, embedding_pb2, types_pb2
from embedsvc.wire import enums, times

MOST_SPACES = 8
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def spec(message: embedding_pb2.OutputSpec, field: str) -> OutputSpec:
    """What a caller asks of a pass; what is absent stays open."""
    return OutputSpec(
        name=message.name,
        layer=message.layer if message.HasField("layer") else None,
        pooling=pooling(message.pooling, f"{field}.pooling") if message.pooling else None,
        projection=message.projection if message.HasField("projection") else None,
        normalize=message.normalize if message.HasField("normalize") else None,
        profile=message.profile,
    )


def spec_message(spec: OutputSpec) -> embedding_pb2.OutputSpec:
    """An output choice as a message."""
    message = embedding_pb2.OutputSpec(name=spec.name, profile=spec.profile)
    if spec.layer is not None:
        message.layer = spec.layer
    if spec.pooling is not None:
        message.pooling = enums.POOLING[spec.pooling]
    if spec.projection is not None:
        message.projection = spec.projection
    if spec.normalize is not None:
        message.normalize = spec.normalize
    if spec.dtype is not None:
        message.dtype = enums.DTYPE[spec.dtype]
    return message


def named_specs(messages: Sequence[embedding_pb2.OutputSpec], field: str) -> dict[str, OutputSpec]:
    """The spaces of a new collection, by name."""
    if len(messages) > MOST_SPACES:
        raise InvalidArgument(
            f"`{field}` must be at most {MOST_SPACES}, but are {len(messages)}", field=field
        )
    specs: dict[str, OutputSpec] = {}
    for place, message in enumerate(messages):
        at = f"{field}[{place}].name"
        if not NAME.fullmatch(message.name):
            raise InvalidArgument(
                f"`{at}` must be 1-32 of a-z, 0-9, `_` and `-`, and begin with a letter, "
                f"but is {message.name[:80]!r}",
                field=at,
            )
        if message.name in specs:
            raise InvalidArgument(
                f"`{at}` must be unlike the others, but {message.name!r} is there twice", field=at
            )
        specs[message.name] = spec(message, f"{field}[{place}]")
    return specs


def pooling(number: int, field: str) -> Pooling:
    """A pooling that is set."""
    return enums.ours(enums.POOLING, number, field)


def windowing(message: types_pb2.Windowing, field: str) -> Windowing:
    """A windowing, with the defaults for what is absent."""
    default = Windowing()
    return Windowing(
        length=times.samples(message.length, f"{field}.length")
        if message.HasField("length")
        else default.length,
        context=times.samples(message.context, f"{field}.context")
        if message.HasField("context")
        else default.context,
    )


def windowing_message(windowing: Windowing) -> types_pb2.Windowing:
    """A windowing as a message."""
    return types_pb2.Windowing(
        length=times.sample_duration(windowing.length),
        context=times.sample_duration(windowing.context),
    )


def segmentation(message: collection_pb2.Segmentation, field: str) -> Segmentation:
    """A segmentation; the pipeline checks the numbers."""
    default = Segmentation()
    length = (
        times.samples(message.length, f"{field}.length")
        if message.HasField("length")
        else default.length
    )
    hop = times.samples(message.hop, f"{field}.hop") if message.HasField("hop") else length // 2
    return Segmentation(length, hop)


def segmentation_message(segmentation: Segmentation) -> collection_pb2.Segmentation:
    """A segmentation as a message."""
    return collection_pb2.Segmentation(
        length=times.sample_duration(segmentation.length),
        hop=times.sample_duration(segmentation.hop),
    )


def recipe(message: collection_pb2.TransformRecipe) -> TransformRecipe:
    """How vectors are to be moved; whoever fits it checks the numbers."""
    return TransformRecipe(
        language=message.language_field,
        standardize=message.standardize if message.HasField("standardize") else True,
        drop=message.drop,
        whiten=message.whiten,
        dim=message.dim or None,
    )


def recipe_message(recipe: TransformRecipe) -> collection_pb2.TransformRecipe:
    """How vectors are moved, as a message."""
    return collection_pb2.TransformRecipe(
        language_field=recipe.language,
        standardize=recipe.standardize,
        drop=recipe.drop,
        whiten=recipe.whiten,
        dim=recipe.dim or 0,
    )


def fitted(message: collection_pb2.FittedTransform) -> FittedInfo:
    """A transform that was fitted, from its message."""
    return FittedInfo(
        version=message.version,
        digest=message.digest,
        dim=message.dim,
        recipe=recipe(message.recipe),
        segments=message.segment_count,
        created_at=times.epoch_seconds(message.create_time),
    )


def fitted_message(fitted: FittedInfo) -> collection_pb2.FittedTransform:
    """A transform that was fitted, as a message."""
    return collection_pb2.FittedTransform(
        version=fitted.version,
        digest=fitted.digest,
        dim=fitted.dim,
        recipe=recipe_message(fitted.recipe),
        segment_count=fitted.segments,
        create_time=times.timestamp(fitted.created_at),
    )


def space_info(message: collection_pb2.CollectionSpace) -> SpaceInfo:
    """A space of a collection, from its message."""
    return SpaceInfo(
        name=message.name,
        space=space(message.space),
        fitted=fitted(message.transform) if message.HasField("transform") else None,
        index=_index(message.index) if message.HasField("index") else None,
    )


def space_info_message(info: SpaceInfo) -> collection_pb2.CollectionSpace:
    """A space of a collection, as a message."""
    return collection_pb2.CollectionSpace(
        name=info.name,
        space=space_message(info.space),
        transform=fitted_message(info.fitted) if info.fitted else None,
        index=_index_message(info.index) if info.index else None,
    )


def _index(message: collection_pb2.SearchIndex) -> IndexInfo:
    return IndexInfo(
        recipe=message.recipe,
        recall=message.recall,
        target=message.target,
        measured_on=message.measured_on,
        segments=message.segment_count,
        reason=message.reason,
    )


def _index_message(index: IndexInfo) -> collection_pb2.SearchIndex:
    return collection_pb2.SearchIndex(
        recipe=index.recipe,
        recall=index.recall,
        target=index.target,
        measured_on=index.measured_on,
        segment_count=index.segments,
        reason=index.reason,
    )


def codes_message(codes: MomentCodes) -> collection_pb2.MomentCodes:
    """How frames are kept, as a message."""
    return collection_pb2.MomentCodes(layer=codes.layer, rate_hz=codes.rate, dim=codes.dim)


def codes(message: collection_pb2.MomentCodes) -> MomentCodes:
    """How frames are kept, from a message."""
    return MomentCodes(message.layer, message.rate_hz, message.dim)


def space_message(space: Space) -> types_pb2.Space:
    """A space as a message."""
    return types_pb2.Space(
        fingerprint=space.fingerprint,
        model=space.model,
        weights=space.weights,
        layer=space.layer,
        pooling=enums.POOLING[space.pooling],
        windowing=windowing_message(space.windowing),
        projection=space.projection,
        normalized=space.normalized,
        dim=space.dim,
    )


def space(message: types_pb2.Space, field: str = "space") -> Space:
    """A space from a message; one made elsewhere needs only a fingerprint and a size."""
    if not 1 <= len(message.fingerprint) <= 128:
        raise InvalidArgument(
            f"`{field}.fingerprint` must be 1 to 128 characters, but is {len(message.fingerprint)}",
            field=f"{field}.fingerprint",
        )
    if not 1 <= message.dim <= 65_536:
        raise InvalidArgument(
            f"`{field}.dim` must be 1 to 65536, but is {message.dim}", field=f"{field}.dim"
        )
    return Space(
        fingerprint=message.fingerprint,
        model=message.model,
        weights=message.weights,
        layer=message.layer,
        pooling=pooling(message.pooling, f"{field}.pooling") if message.pooling else Pooling.MEAN,
        windowing=windowing(message.windowing, f"{field}.windowing"),
        projection=message.projection,
        normalized=message.normalized,
        dim=message.dim,
    )


def describe(space: Space) -> str:
    """A space in one line for people.

    >>> describe(Space("f00", "mini", "", 4, Pooling.MEAN, Windowing(), "", True, 192))
    'mini layer 4, mean, windows of 20 s + 1 s (f00)'
    """
    windows = f"windows of {to_seconds(space.windowing.length):g} s"
    context = f"{to_seconds(space.windowing.context):g} s"
    projection = f", {space.projection}" if space.projection else ""
    return (
        f"{space.model} layer {space.layer}, {space.pooling}{projection}, "
        f"{windows} + {context} ({space.fingerprint})"
    )
