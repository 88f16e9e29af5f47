"""Vectors of many sounds for a training loop, batch by batch, and those of files read back.

from embedsvc.client.features import Features

sounds = [("a.wav", {"speaker": "anna"}), ("b.wav", {"speaker": "jan"})]
for vectors, metadata in Features("localhost:50051", sounds):  # (n, D) float32, and n dicts
    ...

PyTorch takes it as an `IterableDataset` of a few lines. Each worker connects for itself and takes
its share; batches are made here, so that the loader must make none:

class Speech(torch.utils.data.IterableDataset):
    def __init__(self, features):
        self.features = features

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        if worker is None:
            return iter(self.features)
        return iter(self.features.shard(worker.id, worker.num_workers))

loader = torch.utils.data.DataLoader(Speech(features), batch_size=None, num_workers=2)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from embedsvc.client.ahead import IN_FLIGHT, Wanted, answers
from embedsvc.client.audible import Audible
from embedsvc.client.client import Client
from embedsvc.client.results import Embedding
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.feature_files import FeatureFile
from embedsvc.feature_files import load as load_features
from embedsvc.types import Floats, Metadata, Output, OutputSpec, Pooling

__all__ = ["FeatureBatch", "FeatureFile", "Features", "Wanted", "layers", "load_features"]

Sound = Audible | tuple[Audible, Metadata]
"""A sound, or a sound and what is known about it."""


class FeatureBatch(NamedTuple):
    """Vectors (n, D), or (n, O, D) of O outputs, and what is known of each.

    `metadata` is the caller's, and beside it `source` (the place of the sound in the list of all),
    `start` and `end` (seconds).
    """

    vectors: Floats
    metadata: list[dict[str, Any]]


@dataclass(frozen=True)
class Features:
    """The vectors of many sounds, as often as it is iterated.

    `server` is an address, or a client. An address can go to other processes, as workers of a
    loader are; a client cannot. `size` is the number of rows in a batch, the last of which may have
    fewer. `failed` is called with the place of a sound that cannot be embedded and why; without it,
    that is raised. In memory are `in_flight` calls and one batch.
    """

    server: str | Client
    sounds: Sequence[Sound]
    wanted: Wanted = field(default_factory=Wanted)
    size: int = 64
    in_flight: int = IN_FLIGHT
    failed: Callable[[int, EmbedsvcError], None] | None = None
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        index, count = self.share
        rules = (
            ("size", self.size >= 1, "at least 1", self.size),
            ("in_flight", self.in_flight >= 1, "at least 1", self.in_flight),
            ("share", 0 <= index < count, "index and count, the index below the count", self.share),
        )
        for name, holds, rule, value in rules:
            if not holds:
                raise InvalidArgument(f"`{name}` must be {rule}, but is {value}", field=name)

    def shard(self, index: int, count: int) -> "Features":
        """Every `count`-th sound from `index` on: the share of one of `count` workers.

        The shares of a share part it, so that the processes of a training can each have workers.
        """
        first, step = self.share
        if not 0 <= index < count:
            raise InvalidArgument(
                f"`index` must be 0 up to `count`, but is {index} of {count}", field="index"
            )
        return replace(self, share=(first + step * index, step * count))

    def __iter__(self) -> Iterator[FeatureBatch]:
        connected = Client(self.server) if isinstance(self.server, str) else None
        with connected or nullcontext(self.server) as client:
            assert isinstance(client, Client)
            yield from self._batches(client)

    def _batches(self, client: Client) -> Iterator[FeatureBatch]:
        vectors: list[Floats] = []
        metadata: list[dict[str, Any]] = []
        for vector, known in self._rows(client):
            vectors.append(vector)
            metadata.append(known)
            if len(vectors) == self.size:
                yield FeatureBatch(np.stack(vectors), metadata)
                vectors, metadata = [], []
        if vectors:
            yield FeatureBatch(np.stack(vectors), metadata)

    def _rows(self, client: Client) -> Iterator[tuple[Floats, dict[str, Any]]]:
        first, step = self.share
        places = range(first, len(self.sounds), step)
        sources = (_parted(self.sounds[place])[0] for place in places)
        found = answers(client, sources, self.wanted, in_flight=self.in_flight)
        with closing(found):  # type: ignore[type-var]  # a generator
            for place, answer in zip(places, found, strict=True):
                if isinstance(answer, EmbedsvcError):
                    if self.failed is None:
                        raise answer
                    self.failed(place, answer)
                    continue
                known = _parted(self.sounds[place])[1]
                for vector, start, end in _cut(answer):
                    beside = {"source": place, "start": start, "end": end}
                    yield vector, {**known, **beside}


def _parted(sound: Sound) -> tuple[Audible, Metadata]:
    """A sound and its metadata; samples and their rate are a pair too, but no mapping is in it."""
    if isinstance(sound, tuple) and isinstance(sound[1], Mapping):
        return sound
    return sound, {}


def _cut(answer: object) -> Iterator[tuple[Floats, float, float]]:
    """The rows (D,) or (O, D) of an answer, each with the seconds at which it starts and ends."""
    if not isinstance(answer, Embedding) or answer.space.pooling is Pooling.NONE:
        raise InvalidArgument(
            "`wanted.outputs` must be vectors, but are frames; `embedsvc embed --pooling none "
            "--output` writes those",
            field="wanted.outputs",
        )
    spans = answer.outputs[0].segments or (answer.outputs[0].span,)
    rows = _joined(answer.outputs)
    for row, span in zip(rows, spans, strict=True):
        yield row, *span.seconds


def _joined(outputs: Sequence[Output]) -> Floats:
    """Rows (S, D) of one output, (S, O, D) of several."""
    arrays = [np.atleast_2d(output.array) for output in outputs]
    if len(arrays) == 1:
        return arrays[0]
    dims = [array.shape[-1] for array in arrays]
    if len(set(dims)) > 1:
        raise InvalidArgument(
            f"`wanted.outputs` must be of one dimension to be stacked, but are {dims}",
            field="wanted.outputs",
        )
    return np.stack(arrays, axis=1)


def layers(numbers: Sequence[int], pooling: Pooling = Pooling.MEAN) -> tuple[OutputSpec, ...]:
    """Outputs of several layers without projections, which have one dimension.

    >>> [(spec.name, spec.layer) for spec in layers([2, 4])]
    [('layer_2', 2), ('layer_4', 4)]
    """
    return tuple(
        OutputSpec(f"layer_{number}", number, pooling, projection="") for number in numbers
    )
