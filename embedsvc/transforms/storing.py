"""A transform as bytes: safetensors, checked when they are read."""

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedsvc.errors import DataLoss
from embedsvc.transforms.languages import Centers
from embedsvc.transforms.transform import Transform
from embedsvc.types import Floats

_LANGUAGES = "languages"


def to_bytes(transform: Transform) -> bytes:
    """The bytes of a transform."""
    tensors = {"mean": transform.mean, "matrix": transform.matrix}
    centers = transform.centers
    if centers is not None:
        names = json.dumps(centers.languages).encode()
        tensors |= {"weights": centers.weights, "bias": centers.bias, "means": centers.means}
        tensors[_LANGUAGES] = np.frombuffer(names, np.uint8)
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def from_bytes(data: bytes) -> Transform:
    """The transform of `to_bytes`; raises DataLoss for bytes that are not one."""
    try:
        tensors = load(data)
        centers = _centers(tensors) if _LANGUAGES in tensors else None
        transform = Transform(tensors["mean"], tensors["matrix"], centers)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged() from error
    if not _fits(transform):
        raise _damaged()
    return transform


def _centers(tensors: Mapping[str, Floats]) -> Centers:
    names = json.loads(tensors[_LANGUAGES].tobytes())
    return Centers(tuple(map(str, names)), tensors["weights"], tensors["bias"], tensors["means"])


def _fits(transform: Transform) -> bool:
    parts = [transform.mean, transform.matrix]
    sound = transform.mean.ndim == 1 and transform.matrix.ndim == 2
    sound = sound and len(transform.matrix) == len(transform.mean)
    centers = transform.centers
    if centers is not None:
        parts += [centers.weights, centers.bias, centers.means]
        count, dim = len(centers.languages), len(transform.mean)
        shapes = (centers.weights.shape, centers.bias.shape, centers.means.shape)
        sound = sound and shapes == ((dim, count), (count,), (count, dim))
    return sound and all(
        part.dtype == np.float32 and bool(np.isfinite(part).all()) for part in parts
    )


def _damaged() -> DataLoss:
    return DataLoss("`collection` must be readable, but its transform is damaged")
