"""What a search is measured on: vectors to store, and others to ask with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsvc import samples
from embedsvc.audio import Door, decode, features
from embedsvc.bench.spoken import Tell, of_folder
from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import InvalidArgument
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Windowing

_NOISE = 0.6
"""Length of the noise that is added to a vector of length 1."""

_LATENT = 48


@dataclass(frozen=True)
class Vectors:
    """What is stored (N, D) and what is asked (Q, D); `about` says where they come from."""

    stored: np.ndarray
    queries: np.ndarray
    about: str


def of_speech(count: int, queries: int, seed: int = 0) -> Vectors:
    """Vectors of `mini` of the clips that come with the package, each many times with noise."""
    generator = np.random.default_rng(seed)
    encoder = Encoder.load(resolve("mini"))
    stored = _noisy(_embedded(encoder, "archive"), count, generator)
    asked = _noisy(_embedded(encoder, "query"), queries, generator)
    about = f"vectors of mini of the bundled clips, with noise of length {_NOISE:g}"
    return Vectors(stored, asked, about)


def of_dim(count: int, queries: int, dim: int, seed: int = 0) -> Vectors:
    """Vectors without clusters, in which few dimensions matter: hard to search approximately."""
    generator = np.random.default_rng(seed)
    axes = generator.standard_normal((_LATENT, dim)) / _LATENT**0.5
    inner = generator.standard_normal((count + queries, _LATENT)) @ axes
    noise = 0.3 * generator.standard_normal((count + queries, dim))
    drawn = (inner + noise).astype(np.float32)
    about = f"drawn at random: {_LATENT} dimensions within {dim}, and noise"
    return Vectors(drawn[:count], drawn[count:], about)


def of_recordings(directory: Path, count: int, queries: int, tell: Tell) -> Vectors:
    """Vectors of a second of speech each, of all sound files below `directory`.

    Half of the queries are from other recordings of the folders that are stored, half from
    folders of which nothing is.
    """
    spoken = of_folder(directory, count, queries, tell)
    about = (
        "means and deviations of three layers of mini over a second of real speech; queries "
        "half from other recordings, half from other folders"
    )
    return Vectors(spoken.stored, spoken.asked, about)


def save(vectors: Vectors, path: Path) -> None:
    """Write what `of_file` reads."""
    np.savez(path, vectors=vectors.stored, queries=vectors.queries, about=vectors.about)


def of_file(path: Path, count: int | None, queries: int, seed: int = 0) -> Vectors:
    """The arrays `vectors` (N, D) and `queries` (Q, D) of a .npz, as many as wanted.

    Without `queries`, some of the vectors are kept back to ask with.
    """
    try:
        with np.load(path) as file:
            vectors = np.asarray(file["vectors"])
            asked = np.asarray(file["queries"]) if "queries" in file else None
            about = str(file["about"]) if "about" in file else f"from {path.name}"
    except (OSError, ValueError, KeyError) as error:
        raise InvalidArgument(f"`--npz` must hold an array `vectors`, but {error}") from error
    if asked is not None and asked.ndim == 2 and len(asked) >= queries:
        return Vectors(vectors[:count], asked[:: len(asked) // queries][:queries], about)
    if vectors.ndim != 2 or len(vectors) <= queries:
        raise InvalidArgument(
            f"`vectors` of --npz must be (N, D) with more than {queries} rows, but are "
            f"{vectors.shape}"
        )
    order = np.random.default_rng(seed).permutation(len(vectors))
    kept = order[queries:][:count]
    return Vectors(vectors[kept], vectors[order[:queries]], about)


def _noisy(base: Floats, count: int, generator: np.random.Generator) -> Floats:
    """`count` of the unit vectors of `base`, in turn, each with noise of its own."""
    chosen = base[np.arange(count) % len(base)]
    noise = generator.standard_normal(chosen.shape) / chosen.shape[1] ** 0.5
    noisy: Floats = (chosen + _NOISE * noise).astype(np.float32)
    return noisy


def _embedded(encoder: Encoder, role: str) -> Floats:
    """Default vectors (N, D) of the clips of a role."""
    plan = encoder.plan(OutputSpec(), Windowing())

    def vector(frames: Frames) -> Floats:
        ask = Ask((plan.layer,), None, ((0, len(frames)),))
        (answer,) = encoder.encode([frames], [ask])
        return encoder.finish(plan, answer.moments[plan.layer][0])

    waves = [decode(clip.data(), Door()).samples for clip in samples.clips(role)]
    return np.stack([vector(features(wave)) for wave in waves])
