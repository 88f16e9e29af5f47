"""What an encoder hears of many clips: a pooled vector of each, as it is and as others hear it.

It takes the most time of fitting a projection, so it can be kept in a folder: one .npz for each
table of clips, whose name is a digest of all that decides what is in it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from embedsvc.audio import log_mel, long_enough, stacked
from embedsvc.encoder import FEATURES_VERSION, Encoder, pool
from embedsvc.errors import EmbedsvcError
from embedsvc.evaluation.embedding import LONGEST_SECONDS, ahead, samples_of
from embedsvc.evaluation.speech import Row
from embedsvc.timing import FRAME_RATE
from embedsvc.training.augmentation import Chances, augment, normalize
from embedsvc.types import Ask, Floats, Frames, Pooling

BATCH_FRAMES = 3000
"""Frames of one pass: one minute."""

Tell = Callable[[int, int], None]
"""Told how many of how many clips are done."""


@dataclass(frozen=True)
class Wanted:
    """Which vectors: of a layer, pooled, in `views`; the first is the clip as it is."""

    layer: int
    pooling: Pooling
    views: int = 2
    seed: int = 7


@dataclass(frozen=True)
class Heard:
    """Vectors (views, n, D) of the clips at `places` (n,); a line for each that has none."""

    vectors: Floats
    places: NDArray[np.int64]
    failed: tuple[str, ...] = ()


def hear(
    encoder: Encoder, rows: Sequence[Row], wanted: Wanted, tell: Tell, cache: Path | None = None
) -> Heard:
    """Vectors of all `rows` that can be read, in their order; kept in `cache` if there is one."""
    if cache is None:
        return _hear(encoder, rows, wanted, tell)
    path = cache / f"{_key(encoder, rows, wanted)}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return Heard(kept["vectors"].astype(np.float32), kept["places"])
    heard = _hear(encoder, rows, wanted, tell)
    cache.mkdir(parents=True, exist_ok=True)
    draft = cache / f".{path.name}.{os.getpid()}.tmp"
    try:
        with draft.open("wb") as file:
            np.savez(file, vectors=heard.vectors, places=heard.places)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return heard


def _hear(encoder: Encoder, rows: Sequence[Row], wanted: Wanted, tell: Tell) -> Heard:
    order = sorted(range(len(rows)), key=lambda place: (rows[place].seconds, rows[place].path))
    batches = list(_batches(order, rows))
    random = torch.Generator().manual_seed(wanted.seed)
    places: list[int] = []
    vectors: list[Floats] = []
    failed: list[str] = []
    done = 0
    with ThreadPoolExecutor(1) as threads:
        for batch in ahead(threads, batches, lambda some: [_read(rows, place) for place in some]):
            good = [read for read in batch if not read.fault]
            failed += [f"{rows[read.place].path}: {read.fault}" for read in batch if read.fault]
            if good:
                vectors.append(_views(encoder, [read.mel for read in good], wanted, random))
                places += [read.place for read in good]
            done += len(batch)
            tell(done, len(rows))
    if not vectors:
        empty = np.zeros((wanted.views, 0, 0), np.float32)
        return Heard(empty, np.zeros(0, np.int64), tuple(failed))
    back = np.argsort(places)
    return Heard(np.concatenate(vectors, axis=1)[:, back], np.array(places)[back], tuple(failed))


@dataclass(frozen=True)
class _Read:
    """Log-mel (M, 80) of the clip at a place, or why there is none."""

    place: int
    mel: Floats
    fault: str = ""


def _views(
    encoder: Encoder, mels: Sequence[Floats], wanted: Wanted, random: torch.Generator
) -> Floats:
    """Vectors (views, b, D) of the clips of a batch."""
    views = [[stacked(mel) for mel in mels]]
    views += [_otherwise(mels, random) for _ in range(1, wanted.views)]
    return np.stack([_pooled(encoder, frames, wanted) for frames in views])


def _batches(order: Sequence[int], rows: Sequence[Row]) -> Iterator[list[int]]:
    batch: list[int] = []
    frames = 0.0
    for place in order:
        length = min(rows[place].seconds, LONGEST_SECONDS) * FRAME_RATE
        if batch and frames + length > BATCH_FRAMES:
            yield batch
            batch, frames = [], 0.0
        batch.append(place)
        frames += length
    if batch:
        yield batch


def _read(rows: Sequence[Row], place: int) -> _Read:
    try:
        return _Read(place, log_mel(long_enough(samples_of(rows[place]))))
    except (EmbedsvcError, OSError) as error:
        return _Read(place, np.zeros((0, 80), np.float32), str(error))


def _otherwise(mels: Sequence[Floats], random: torch.Generator) -> list[Frames]:
    """Clips of nearly one length, cut to the shortest, in other rooms and on other lines."""
    shortest = min(map(len, mels)) // 2 * 2
    together = torch.from_numpy(np.stack([mel[:shortest] for mel in mels]))
    return [Frames(each) for each in normalize(augment(together, Chances(), random)).numpy()]


def _pooled(encoder: Encoder, frames: Sequence[Frames], wanted: Wanted) -> Floats:
    asks = [Ask((wanted.layer,), runs=((0, len(each)),)) for each in frames]
    return np.stack(
        [
            pool(answer.moments[wanted.layer][0], wanted.pooling)
            for answer in encoder.encode(frames, asks)
        ]
    )


def _key(encoder: Encoder, rows: Sequence[Row], wanted: Wanted) -> str:
    """A digest of model, features, clips (by name, size and time of change) and what is wanted."""
    choices = [wanted.layer, wanted.pooling, wanted.views, wanted.seed]
    start = json.dumps([encoder.weights, FEATURES_VERSION, *choices])
    digest = hashlib.sha256(start.encode())
    for row in rows:
        try:
            known = row.path.stat()
            digest.update(f"{row.path}\0{known.st_size}\0{known.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{row.path}\n".encode())
    return digest.hexdigest()[:32]
