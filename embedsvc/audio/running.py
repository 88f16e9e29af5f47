"""Features of a stream: log-mel energies, normalized by what was heard of it so far.

A recording is normalized by its own mean and variance, which nobody knows of a stream. In their
place stand those of the sound heard so far, begun with a little speech that comes with the package.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.audio.features import MEL_BINS, Doubles, log_mel
from embedsvc.audio.speech import active
from embedsvc.timing import FRAME, HOP, SAMPLE_RATE, STRIDE
from embedsvc.types import Floats, Frames

_SECOND = SAMPLE_RATE // HOP
PRIOR_FRAMES = 1 * _SECOND
"""Mel frames that the prior counts for: a second of speech outweighs it."""

MOST_FRAMES = 20 * _SECOND
"""Mel frames that are remembered: as much as one window of a recording is normalized by."""

_EPSILON = 1e-7


@dataclass(frozen=True)
class Statistics:
    """How many mel frames count, and the sums (80,) of their log-energies and of the squares."""

    count: float
    total: Doubles
    squares: Doubles

    def heard(self, mel: Floats, sounding: NDArray[np.bool_]) -> "Statistics":
        """With mel frames (T, 80) that hold sound or not (T,); silence does not count.

        What was heard before weighs less when the memory is full.
        """
        fresh = mel[sounding].astype(np.float64)
        if not len(fresh):
            return self
        fresh = fresh[-MOST_FRAMES:]
        keep = min(1.0, (MOST_FRAMES - len(fresh)) / self.count)
        return Statistics(
            keep * self.count + len(fresh),
            keep * self.total + fresh.sum(axis=0),
            keep * self.squares + np.square(fresh).sum(axis=0),
        )

    def with_sound(self, samples: Floats) -> "Statistics":
        """As `heard`, of all mel frames that lie within samples (N,)."""
        mel = log_mel(samples)
        return self.heard(mel, np.repeat(active(samples), STRIDE)[: len(mel)])

    def normalized(self, mel: Floats) -> Frames:
        """Features (T, 160) of mel frames (2 T, 80), each bin by its mean and variance."""
        mean = self.total / self.count
        variance = np.maximum(self.squares / self.count - np.square(mean), 0.0)
        count = len(mel) // STRIDE
        normal = (mel[: count * STRIDE] - mean) / np.sqrt(variance + _EPSILON)
        return Frames(normal.astype(np.float32).reshape(count, STRIDE * MEL_BINS))


class RunningMel:
    """Mel frames of a stream from the frame `start` on, normalized by the sound heard so far.

    The `statistics` are of the frames before `counted`, which may be heard again.
    """

    def __init__(self, start: int, counted: int, statistics: Statistics) -> None:
        self._start = start
        self._mel = log_mel(np.empty(0, np.float32))
        self._sounding: NDArray[np.bool_] = np.empty(0, np.bool_)
        self.counted = counted
        self.statistics = statistics

    @property
    def end(self) -> int:
        """The first mel frame that was not heard yet."""
        return self._start + len(self._mel)

    def hear(self, samples: Floats, base: int) -> None:
        """Take what is new of samples (N,), of which the first is the sample `base`."""
        frame = self.end // STRIDE
        fresh = log_mel(samples[self.end * HOP - base :])
        sounding = np.repeat(active(samples[frame * FRAME - base :]), STRIDE)
        sounding = sounding[self.end - frame * STRIDE :][: len(fresh)]
        uncounted = max(0, self.counted - self.end)
        self.statistics = self.statistics.heard(fresh[uncounted:], sounding[uncounted:])
        self._mel = np.concatenate([self._mel, fresh])
        self._sounding = np.concatenate([self._sounding, sounding])
        self.counted = max(self.counted, self.end)

    def window(self, first: int) -> tuple[Frames, NDArray[np.bool_]]:
        """Features (T, 160) from the mel frame `first` on, and which mel frames hold sound."""
        place = first - self._start
        return self.statistics.normalized(self._mel[place:]), self._sounding[place:]

    def forget(self, before: int) -> None:
        """Let go of mel frames before that one."""
        gone = max(0, before - self._start)
        self._mel, self._sounding = self._mel[gone:].copy(), self._sounding[gone:].copy()
        self._start += gone


def prior() -> Statistics:
    """What a stream begins with."""
    mean, spread = np.array(_MEAN), np.array(_SPREAD)
    squares = np.square(mean) + np.square(spread)
    return Statistics(PRIOR_FRAMES, PRIOR_FRAMES * mean, PRIOR_FRAMES * squares)


# Mean and standard deviation of all sounding mel frames of the clips of `samples.clips("archive")`.
# fmt: off
_MEAN = (
    10.84, 11.54, 12.34, 13.12, 14.33, 15.17, 15.70, 15.64, 15.33, 15.27,
    15.74, 16.35, 16.92, 17.06, 16.84, 16.54, 16.43, 16.42, 16.51, 16.18,
    15.81, 15.89, 15.68, 15.83, 15.63, 15.57, 15.45, 15.45, 15.22, 15.11,
    15.10, 15.03, 15.05, 15.11, 15.05, 15.02, 14.98, 15.01, 15.11, 15.04,
    15.12, 15.08, 15.17, 15.26, 15.52, 15.93, 16.39, 16.82, 17.18, 17.44,
    17.50, 17.58, 17.63, 17.71, 17.81, 17.85, 17.73, 17.62, 17.66, 17.63,
    17.54, 17.32, 17.01, 16.47, 15.96, 15.58, 15.29, 14.96, 14.64, 14.43,
    14.38, 14.48, 14.67, 14.92, 15.13, 15.35, 15.61, 15.76, 15.44, 14.61,
)
_SPREAD = (
    2.70, 3.35, 3.52, 3.23, 3.30, 3.47, 3.65, 3.72, 3.61, 3.56,
    3.62, 3.62, 3.54, 3.57, 3.56, 3.56, 3.60, 3.73, 3.85, 3.96,
    4.06, 4.13, 4.27, 4.38, 4.42, 4.36, 4.33, 4.29, 4.18, 4.13,
    4.15, 4.13, 4.14, 4.17, 4.08, 3.95, 3.82, 3.69, 3.60, 3.56,
    3.49, 3.41, 3.31, 3.26, 3.25, 3.31, 3.37, 3.47, 3.51, 3.47,
    3.37, 3.24, 3.14, 3.13, 3.22, 3.23, 3.20, 3.30, 3.36, 3.37,
    3.39, 3.49, 3.59, 3.57, 3.51, 3.55, 3.57, 3.45, 3.27, 3.16,
    3.07, 3.08, 3.12, 3.17, 3.16, 3.12, 3.07, 3.07, 3.05, 2.84,
)
# fmt: on
