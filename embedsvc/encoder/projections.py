"""What a checkpoint may bring for its vectors: named projections and its own defaults."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from embedsvc.encoder.config import read_object
from embedsvc.encoder.spaces import pooled_dim
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import Floats, Pooling

PROJECTIONS_FILE = "projections.safetensors"
DEFAULTS_FILE = "embedsvc.json"

PROJECTION_NAME = re.compile("[a-z][a-z0-9_-]{0,31}")

_TENSOR = re.compile(
    rf"(?P<name>{PROJECTION_NAME.pattern})/layer(?P<layer>\d{{1,3}})/(?P<pooling>mean|mean_std|max)/mean"
)

Key = tuple[str, int, Pooling]


@dataclass(frozen=True)
class Projection:
    """The map ((x - mean) * scale) @ matrix, where no matrix (D, d) stands for the identity.

    `mean` and `scale` are (D,); `tag` is the name and a hash of all tensors.
    """

    mean: Floats
    scale: Floats
    matrix: Floats | None
    tag: str

    @property
    def dim(self) -> int:
        """Dimensions of what comes out."""
        return len(self.mean) if self.matrix is None else self.matrix.shape[1]

    def __call__(self, vector: Floats) -> Floats:
        """Vector (D,) moved, stretched and, with a matrix, taken to (d,)."""
        moved: Floats = (vector - self.mean) * self.scale
        return moved if self.matrix is None else moved @ self.matrix


@dataclass(frozen=True)
class Defaults:
    """What a model gives when the caller leaves the choice to it."""

    layer: int
    pooling: Pooling
    projection: str


@dataclass(frozen=True)
class Projections:
    """Every projection of a checkpoint, by name, layer and pooling."""

    each: Mapping[Key, Projection]

    def find(self, name: str, layer: int, pooling: Pooling) -> Projection:
        """Projection asked for; raises `InvalidArgument` listing those there are."""
        found = self.each.get((name, layer, pooling))
        if found is None:
            there = ", ".join(sorted({f"`{key[0]}`" for key in self.each})) or "none"
            fitting = sorted({key[1] for key in self.each if (key[0], key[2]) == (name, pooling)})
            layers = f"; `{name}` has layers {fitting} with {pooling} pooling" if fitting else ""
            raise InvalidArgument(
                f"`projection` must be one the model has for layer {layer} and {pooling} pooling "
                f"(there are: {there}{layers}), but is {name!r}",
                field="projection",
            )
        return found

    def joined(self, more: "Projections") -> "Projections":
        """These and others; raises `InvalidArgument` for one that is there already."""
        if twice := sorted(set(self.each) & set(more.each)):
            name, layer, pooling = twice[0]
            raise InvalidArgument(
                f"`projections` must be new to the model, but it has {name!r} for layer {layer} "
                f"and {pooling} pooling",
                field="projections",
            )
        return Projections({**self.each, **more.each})

    def has(self, name: str, layer: int, pooling: Pooling) -> bool:
        """Whether `find` would succeed."""
        return (name, layer, pooling) in self.each


def read_projections(directory: Path, dim: int, layers: int) -> Projections:
    """Projections beside a checkpoint of hidden size `dim`, if any.

    For each projection the file holds the tensors `<name>/layer<k>/<pooling>/mean` and `/scale`,
    both (D,), and, unless it keeps the dimensions, `/matrix` (D, d) with 1 <= d <= D.
    """
    path = directory / PROJECTIONS_FILE
    return read_projection_file(path, dim, layers) if path.exists() else Projections({})


def read_projection_file(path: Path, dim: int, layers: int) -> Projections:
    """Projections of a file in the layout of `read_projections`.

    Raises `FailedPrecondition` for a file that is damaged, or made for a model of another size.
    """
    try:
        tensors = load_file(path)
    except (OSError, KeyError, SafetensorError) as error:
        raise _fault(path, "is not there, truncated or damaged") from error
    try:
        return Projections(dict(_named(tensors, dim, layers)))
    except _Unsound as error:
        raise _fault(path, str(error)) from error


def write_projections(path: Path, tensors: Mapping[str, Floats]) -> None:
    """Write a projection file; it is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(dict(tensors), draft)
        draft.chmod(0o644)  # it is written for its owner alone
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def add_projections(
    directory: Path, files: Sequence[Path], dim: int, layers: int
) -> tuple[str, ...]:
    """Put projections of `files` into a checkpoint's own file, in place of those of equal keys.

    Returns the names of all that are there then. Raises `FailedPrecondition` for a file that does
    not fit, and leaves the checkpoint as it was.
    """
    own = directory / PROJECTIONS_FILE
    tensors: dict[str, Floats] = {}
    for path in (*([own] if own.exists() else []), *files):
        keys = read_projection_file(path, dim, layers).each
        stems = {f"{name}/layer{layer}/{pooling}/" for name, layer, pooling in keys}
        tensors = {
            name: each
            for name, each in tensors.items()
            if name[: name.rindex("/") + 1] not in stems
        }
        tensors |= load_file(path)
    write_projections(own, tensors)
    return tuple(sorted({name.partition("/")[0] for name in tensors}))


def read_defaults(directory: Path, layers: int, projections: Projections) -> Defaults:
    """Choices of the model itself, or ours for a model that makes none.

    Ours are the mean of the layer two thirds up: middle layers carry the content of speech
    (Pasad, Chou and Livescu 2021, "Layer-wise analysis of a self-supervised speech
    representation model").
    """
    path = directory / DEFAULTS_FILE
    ours: dict[str, object] = {"layer": round(layers * 2 / 3), "pooling": "mean", "projection": ""}
    values = ours | (read_object(path) if path.exists() else {})
    layer, pooling, projection = values["layer"], values["pooling"], values["projection"]
    if (
        not isinstance(layer, int)
        or isinstance(layer, bool)
        or not 0 <= layer <= layers
        or pooling not in {Pooling.MEAN, Pooling.MEAN_STD, Pooling.MAX}
        or not isinstance(projection, str)
        or not (projection == "" or projections.has(projection, layer, Pooling(str(pooling))))
    ):
        raise FailedPrecondition(
            f"`model` must have defaults it can serve in {DEFAULTS_FILE}, but has layer {layer!r}, "
            f"pooling {pooling!r} and projection {projection!r}",
            field="model",
        )
    return Defaults(layer, Pooling(str(pooling)), projection)


def _named(
    tensors: Mapping[str, Floats], dim: int, layers: int
) -> Iterator[tuple[Key, Projection]]:
    left = set(tensors)
    for path in sorted(tensors):
        found = _TENSOR.fullmatch(path)
        if not found:
            continue
        stem = path.removesuffix("mean")
        layer, pooling = int(found["layer"]), Pooling(found["pooling"])
        parts = [tensors[path], tensors.get(f"{stem}scale"), tensors.get(f"{stem}matrix")]
        mean, scale, matrix = parts
        size = pooled_dim(dim, pooling)
        if layer > layers or not _fits(mean, size) or not _fits(scale, size):
            raise _Unsound(f"has {path} with no counterpart, no layer or another size than {size}")
        if matrix is not None and not _reduces(matrix, size):
            raise _Unsound(f"its {stem}matrix does not take {size} dimensions to at most as many")
        left -= {path, f"{stem}scale", f"{stem}matrix"}
        given = [part.astype("<f4") for part in parts if part is not None]
        yield (found["name"], layer, pooling), _projection(found["name"], given)
    if left:
        raise _Unsound(f"has unknown tensors such as {min(left)}")


def _fits(tensor: Floats | None, size: int) -> bool:
    return tensor is not None and tensor.shape == (size,) and bool(np.isfinite(tensor).all())


def _reduces(matrix: Floats, size: int) -> bool:
    fitting = matrix.ndim == 2 and len(matrix) == size and 1 <= matrix.shape[1] <= size
    return fitting and bool(np.isfinite(matrix).all())


def _projection(name: str, parts: Sequence[Floats]) -> Projection:
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    mean, scale, *matrix = parts
    return Projection(mean, scale, matrix[0] if matrix else None, f"{name}:{digest[:12]}")


class _Unsound(Exception):
    """What is wrong with the tensors of a file."""


def _fault(path: Path, what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"`model` must have sound projections, but {path.name} {what}", field="model"
    )
