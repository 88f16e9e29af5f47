"""Cheap voice activity: which 20 ms frames hold any sound at all."""

import numpy as np
from numpy.typing import NDArray

from embedsvc.timing import FRAME
from embedsvc.types import Floats, Span

SILENCE_DBFS = -60.0
"""Frames with an RMS below this are silence.

Quiet speech is about -45 dBFS. The pauses of a usable recording lie near -60, and digital
silence, dither and a muted microphone far below.
"""

_SILENCE_POWER = 10 ** (SILENCE_DBFS / 10)


def active(samples: Floats) -> NDArray[np.bool_]:
    """Whether each whole 20 ms frame of samples (N,) is above silence, (N // 320,)."""
    count = len(samples) // FRAME
    # float64, because large float samples overflow when squared.
    frames = samples[: count * FRAME].reshape(count, FRAME).astype(np.float64)
    power: NDArray[np.float64] = np.square(frames).mean(axis=1)
    return power >= _SILENCE_POWER


def active_share(samples: Floats, span: Span | None = None) -> float:
    """Share of the whole 20 ms frames in `span` above silence; 0 when it has none."""
    part = samples if span is None else samples[span.start : span.end]
    frames = active(part)
    return float(frames.mean()) if len(frames) else 0.0
