"""A million vectors of real speech: what an approximate index has to be judged on.

Vectors drawn at random, or a few clips with noise, fall into clusters that any index finds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsvc.audio import Door, decode, features
from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.types import Ask, Floats, Frames

WIDTH = 1_024
"""Dimensions of a vector, as many as those of large encoders."""

WINDOW, HOP = 50, 3
"""Frames of a vector and from one to the next: 1 s, every 60 ms."""

SHORTEST = 25
"""Frames of a recording that gets a vector at all, of what there is."""

SPEEDS = (1.0, 0.9, 1.1, 0.95, 1.05, 0.85, 1.15, 0.8)
"""Each recording is taken at these, one after the other, until there are enough vectors."""

ASIDE, HELD_BACK = 5, 40
"""Every so-maniest folder is kept aside whole, every so-maniest file of the others too."""

NOISE = 0.003
"""Standard deviation of the noise under all copies but the first: about -50 dB."""

_SOUND = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
_PASS = 3_000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Spoken:
    """Vectors to store (N, D), in no order, and to ask with (Q, D) in half precision; Q is even.

    The first half of `asked` is from other recordings of the folders that are stored, the other
    half from folders of which nothing is stored: mostly other languages and rooms.
    """

    stored: np.ndarray
    asked: np.ndarray


def of_folder(directory: Path, count: int, queries: int, tell: Tell, seed: int = 0) -> Spoken:
    """`count` vectors of the sound files below `directory`; raises InvalidArgument for too few.

    A vector is the means and deviations over a second of three layers of `mini`, `WIDTH` of
    them, each standardized by what is stored.
    """
    stored, near, far = _split(directory)
    generator = np.random.default_rng(seed)
    encoder = Encoder.load(resolve("mini"), threads=1)
    asked = [_some(encoder, files, queries // 2, generator) for files in (near, far)]
    held = np.zeros((count, WIDTH), np.float16)
    at = 0
    for speed in SPEEDS:
        for block in _blocks(encoder, stored, speed, generator):
            part = block[: count - at]
            held[at : at + len(part)] = part
            at += len(part)
            if at == count:
                mixed = held[generator.permutation(count)]
                return Spoken(*_standardized(mixed, np.concatenate(asked)))
        tell(f"{at:,} vectors of speech at speed {speed:g} and before")
    raise InvalidArgument(
        f"`--speech` must hold enough for {count:,} vectors, but is enough for {at:,}"
    )


def _split(directory: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Files to store, to ask with, and those of whole folders kept aside to ask with."""
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    aside = folders[ASIDE - 1 :: ASIDE]
    stored = [file for folder in folders if folder not in aside for file in _files(folder)]
    far = [file for folder in aside for file in _files(folder)]
    near = stored[::HELD_BACK]
    del stored[::HELD_BACK]
    if not (stored and near and far):
        raise InvalidArgument(
            f"`--speech` must hold at least {ASIDE} folders of sound files, "
            f"but {directory} does not"
        )
    return stored, near, far


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SOUND)


def _some(
    encoder: Encoder, files: list[Path], count: int, generator: np.random.Generator
) -> np.ndarray:
    every = np.concatenate(list(_blocks(encoder, files, 1.0, generator)))
    return every[generator.permutation(len(every))[:count]]


def _blocks(
    encoder: Encoder, files: list[Path], speed: float, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Vectors (N, D) of the files, some files at once."""
    waiting: list[Frames] = []
    for place in generator.permutation(len(files)):
        frames = _heard(files[place], speed, generator)
        if frames is None:
            continue
        waiting.append(frames)
        if sum(map(len, waiting)) >= _PASS:
            yield _vectors(encoder, waiting)
            waiting = []
    if waiting:
        yield _vectors(encoder, waiting)


def _heard(file: Path, speed: float, generator: np.random.Generator) -> Frames | None:
    try:
        samples = decode(file.read_bytes(), Door()).samples
    except EmbedsvcError:
        return None
    if speed != 1:
        moments = np.arange(0, len(samples) - 1, speed)
        samples = np.interp(moments, np.arange(len(samples)), samples).astype(np.float32)
        samples += NOISE * generator.standard_normal(len(samples), np.float32)
    if len(samples) < (SHORTEST + 1) * 320:
        return None
    frames = features(samples)
    return frames if len(frames) >= SHORTEST else None


def _vectors(encoder: Encoder, heard: list[Frames]) -> np.ndarray:
    layers = tuple(encoder.layers * third // 3 for third in (1, 2, 3))
    asks = [Ask(layers, (0, len(frames))) for frames in heard]
    parts = []
    for answer in encoder.encode(heard, asks):
        states = np.concatenate([answer.frames[layer] for layer in layers], axis=1)
        parts.append(_windows(states.astype(np.float64)))
    return np.concatenate(parts)


def _windows(states: np.ndarray) -> np.ndarray:
    """Means and deviations (W, D) of every window of `states` (T, C), from running sums."""
    length = min(WINDOW, len(states))
    first = np.arange(0, len(states) - length + 1, HOP)
    zero = np.zeros((1, states.shape[1]))
    sums = np.concatenate([zero, states.cumsum(0)])
    squares = np.concatenate([zero, (states**2).cumsum(0)])
    mean = (sums[first + length] - sums[first]) / length
    square = (squares[first + length] - squares[first]) / length
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return np.concatenate([mean, deviation], axis=1)[:, :WIDTH].astype(np.float16)


def _standardized(stored: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sample: Floats = stored[:: max(1, len(stored) // 50_000)].astype(np.float32)
    mean, deviation = sample.mean(0), sample.std(0) + 1e-6
    for first in range(0, len(stored), 65_536):
        part = stored[first : first + 65_536]
        part[:] = (part - mean) / deviation
    return stored, ((asked - mean) / deviation).astype(np.float16)
