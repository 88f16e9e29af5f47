"""Clips as a probe is asked about them: vectors of its spaces, and how much speech is in each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.audio import log_mel, long_enough, stacked
from embedsvc.audio.speech import active
from embedsvc.encoder import Encoder, Plan
from embedsvc.errors import EmbedsvcError, SpaceMismatch
from embedsvc.evaluation.baseline import mfcc_delta_vector
from embedsvc.evaluation.embedding import Tell, ahead, batches, samples_of
from embedsvc.evaluation.speech import Row
from embedsvc.timing import FRAME, SAMPLE_RATE
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Space


@dataclass(frozen=True, eq=False)
class Heard:
    """n clips: `vectors` (n, D) of the spaces side by side, `cepstra` (n, 80) for the baseline.

    `speech_seconds` (n,) is what is not silent. `failed` has a line for each that was not readable.
    """

    rows: tuple[Row, ...]
    vectors: Floats
    speech_seconds: Floats
    cepstra: Floats
    failed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.intp]) -> "Heard":
        """Those at `places`, in that order."""
        return Heard(
            tuple(self.rows[place] for place in places),
            self.vectors[places],
            self.speech_seconds[places],
            self.cepstra[places],
        )


@dataclass(frozen=True, eq=False)
class Sound:
    """One clip ready for the encoder: log-mel (M, 80), and the seconds that are not silent."""

    mel: Floats
    speech_seconds: float


def plans_of(encoder: Encoder, spaces: Sequence[Space]) -> tuple[Plan, ...]:
    """How this encoder makes vectors of `spaces`; raises SpaceMismatch when it makes others."""
    plans = []
    for space in spaces:
        projection = space.projection.partition(":")[0]
        spec = OutputSpec("", space.layer, space.pooling, projection, space.normalized)
        plan = encoder.plan(spec, space.windowing)
        if plan.space.fingerprint != space.fingerprint:
            raise SpaceMismatch(
                f"`probe` reads vectors of the space {space.fingerprint} of {space.model}, but "
                f"{encoder.name} makes {plan.space.fingerprint} of that layer",
                field="probe",
            )
        plans.append(plan)
    return tuple(plans)


def sound_of(samples: Floats) -> Sound:
    """A sound of samples (N,); raises what the features raise for one that has none."""
    return Sound(log_mel(long_enough(samples)), float(active(samples).sum()) * FRAME / SAMPLE_RATE)


def vectors_of(encoder: Encoder, plans: Sequence[Plan], frames: Sequence[Frames]) -> Floats:
    """Vectors (n, D) of utterances, from one pass of the encoder."""
    layers = tuple(sorted({plan.layer for plan in plans}))
    asks = [Ask(layers, runs=((0, len(each)),)) for each in frames]
    rows = [
        np.concatenate([encoder.finish(plan, answer.moments[plan.layer][0]) for plan in plans])
        for answer in encoder.encode(frames, asks)
    ]
    width = sum(plan.space.dim for plan in plans)
    return np.stack(rows) if rows else np.zeros((0, width), np.float32)


def heard_sounds(
    encoder: Encoder, plans: Sequence[Plan], sounds: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """Vectors (n, D) of samples (N,) each, and their seconds that are not silent (n,)."""
    heard = [sound_of(samples) for samples in sounds]
    vectors = [vectors_of(encoder, plans, [stacked(each.mel)]) for each in heard]
    return np.concatenate(vectors), np.array([each.speech_seconds for each in heard], np.float32)


def listen(encoder: Encoder, plans: Sequence[Plan], rows: Sequence[Row], tell: Tell) -> Heard:
    """All `rows` that can be read, in their order."""
    order = sorted(range(len(rows)), key=lambda place: (rows[place].seconds, rows[place].path))
    found: list[tuple[int, Floats, Sound]] = []
    failed: list[str] = []
    done = 0
    for batch in sounds_of([rows[place] for place in order]):
        good = [(place, sound) for place, sound in batch if isinstance(sound, Sound)]
        failed += [f"{rows[order[p]].path}: {s}" for p, s in batch if isinstance(s, str)]
        frames = [stacked(sound.mel) for _, sound in good]
        vectors = vectors_of(encoder, plans, frames)
        found += [
            (order[place], vector, sound)
            for (place, sound), vector in zip(good, vectors, strict=True)
        ]
        done += len(batch)
        tell(done, len(rows))
    found.sort(key=lambda each: each[0])
    return _heard(rows, found, failed, sum(plan.space.dim for plan in plans))


def sounds_of(rows: Sequence[Row]) -> Iterator[list[tuple[int, Sound | str]]]:
    """Sounds of `rows` with their places, or why there is none, in batches for the encoder."""
    places = {row: place for place, row in enumerate(rows)}
    with ThreadPoolExecutor(1) as threads:
        yield from ahead(
            threads,
            list(batches(rows)),
            lambda batch: [(places[row], _read(row)) for row in batch],
        )


def _read(row: Row) -> Sound | str:
    try:
        return sound_of(samples_of(row))
    except (EmbedsvcError, OSError) as error:
        return str(error)


def _heard(
    rows: Sequence[Row],
    found: Sequence[tuple[int, Floats, Sound]],
    failed: Sequence[str],
    width: int,
) -> Heard:
    empty = np.zeros((0, width), np.float32)
    cepstra = [mfcc_delta_vector(sound.mel) for _, _, sound in found]
    return Heard(
        tuple(rows[place] for place, _, _ in found),
        np.stack([vector for _, vector, _ in found]) if found else empty,
        np.array([sound.speech_seconds for _, _, sound in found], np.float32),
        np.stack(cepstra) if cepstra else np.zeros((0, 80), np.float32),
        tuple(failed),
    )
