"""From the samples of a window to what a body reads."""

import hashlib
from collections.abc import Sized
from dataclasses import dataclass

import numpy as np

from embedsvc.audio import active, features
from embedsvc.encoder.ctc import Body
from embedsvc.pipeline.listening import Active
from embedsvc.types import Floats, Samples, Window


@dataclass(frozen=True)
class Heard:
    """What a body reads of a window, and the digest by which equal ones are known.

    `active` says of each frame of the core whether it is above silence, where somebody asked.
    """

    read: Sized
    digest: bytes
    active: Active | None


def hear(window: Window, body: Body, *, sound: bool) -> Heard:
    """A window as `body` reads it, and with `sound` what of it is no silence."""
    read, numbers = _read(window.samples, body)
    # Two bodies, or languages, make different things of the same audio.
    digest = hashlib.sha256(f"{body.key}\n{body.adapter}\n".encode())
    digest.update(np.ascontiguousarray(numbers).data)
    if not sound:
        return Heard(read, digest.digest(), None)
    start = window.core.start - window.span.start
    core = window.samples[start : start + len(window.core)]
    return Heard(read, digest.digest(), active(core))


def _read(samples: Floats, body: Body) -> tuple[Sized, Floats]:
    """What the body reads, and the numbers in it."""
    if body.of_samples:
        return Samples(samples, body.grid.count(len(samples)), body.adapter), samples
    frames = features(samples)
    return frames, frames.features
