"""How long a pass takes, before it runs: what admission, turns and health go by.

A pass of utterances of T frames takes `batch + frame * sum(T) + pair * sum(T^2)` seconds: what
every pass costs, what every frame costs, and what attention costs. The three are measured when the
model is loaded. One factor then follows what passes really take, so that a busy machine is
predicted too.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from embedsvc.timing import FRAME, MIN_SAMPLES
from embedsvc.types import Frames, Samples

LENGTHS = (50, 200, 800)
"""Frames of the utterances that are timed: 1, 4 and 16 seconds."""

PATIENCE = 2.0
"""Seconds after which no longer utterance is timed: a large model on a small machine is slow."""

INPUT_SIZE = 160
ROUNDS = 2
TYPICAL = 1000
"""Frames of one window of long audio, 20 s."""

_GAIN = 0.1
_BOUND = math.log(4.0)
"""One pass says at most that the machine became four times slower, or faster."""


@dataclass(frozen=True)
class Cost:
    """Seconds that each pass, frame and pair of frames takes at full depth."""

    batch: float
    frame: float
    pair: float

    def seconds(self, lengths: Iterable[int]) -> float:
        """One pass over utterances of these lengths."""
        total = self.batch
        for length in lengths:
            total += length * (self.frame + self.pair * length)
        return total

    @property
    def knee(self) -> int:
        """The frames that cost as much as starting a pass: far above it, a batch gains nothing."""
        return round(self.batch / self.frame) if self.frame else 0


def calibrated(run: Callable[[int], float]) -> Cost:
    """Cost of an encoder whose `run` gives the seconds of a pass over so many frames."""
    run(LENGTHS[0])  # lazy set-up is not what later passes cost
    measured: list[tuple[int, float]] = []
    spent = 0.0
    for length in LENGTHS:
        taken = [run(length) for _ in range(ROUNDS)]
        measured.append((length, min(taken)))
        spent += sum(taken)
        if spent > PATIENCE:
            break
    return fitted(measured)


def noise(length: int) -> Frames:
    """Frames as loud as speech and always the same: what is not speech takes as long."""
    random = np.random.default_rng(0)
    return Frames(random.standard_normal((length, INPUT_SIZE)).astype(np.float32))


def noise_samples(length: int, language: str = "") -> Samples:
    """The same for an encoder of samples: as many as give `length` frames."""
    random = np.random.default_rng(0)
    # As much more as the last frame may need beyond its 20 ms.
    count = length * FRAME + MIN_SAMPLES - FRAME
    return Samples(0.1 * random.standard_normal(count).astype(np.float32), length, language)


def fitted(measured: Sequence[tuple[int, float]]) -> Cost:
    """The cost that is nearest to (frames, seconds) of passes over one utterance each.

    Least squares of the relative errors; none of the three is negative, and as many as there are
    measurements are told apart.
    """
    lengths, seconds = np.array(measured, np.float64).T
    columns = np.stack([lengths, np.ones_like(lengths), lengths**2], axis=1) / seconds[:, None]
    used = list(range(min(3, len(measured))))
    solution = np.zeros(3)
    while used:
        found = np.linalg.lstsq(columns[:, used], np.ones(len(measured)), rcond=None)[0]
        if (found >= 0).all():
            solution[used] = found
            break
        used.pop(int(found.argmin()))
    frame, batch, pair = solution
    return Cost(float(batch), float(frame), float(pair))


class Predictor:
    """Predicts passes of a model of `layers` blocks, and learns from what they took.

    `base` is before scaling, so that what waits can be summed once and scaled when asked.
    """

    def __init__(self, cost: Cost, layers: int) -> None:
        self.cost = cost
        self._layers = layers
        self._log_scale = 0.0
        self._log_error = 0.0
        self._learned = 0

    @property
    def scale(self) -> float:
        """How much slower than calibrated the passes of late were."""
        return math.exp(self._log_scale)

    @property
    def error(self) -> float:
        """The usual ratio between what was predicted and what was, less one."""
        return math.expm1(self._log_error)

    def base(self, lengths: Iterable[int], depth: int) -> float:
        """One pass that ends after layer `depth`."""
        return self.cost.seconds(lengths) * self._reached(depth)

    def share(self, length: int, depth: int, budget: int) -> float:
        """What one utterance adds to what waits, when others fill a batch of `budget` with it."""
        alone = self.cost.batch * min(1.0, length / budget)
        rest = self.cost.seconds([length]) - self.cost.batch
        return (alone + rest) * self._reached(depth)

    def long(self, frames: int, budget: int) -> float:
        """`frames` that will come as windows, to the last layer."""
        typical = self.share(TYPICAL, self._layers, budget) / TYPICAL
        return self.share(frames, self._layers, budget) if frames < TYPICAL else frames * typical

    def learn(self, base: float, seconds: float) -> None:
        """A pass predicted as `base` took `seconds`."""
        if base <= 0 or seconds <= 0:
            return
        miss = math.log(seconds / base) - self._log_scale
        miss = max(-_BOUND, min(_BOUND, miss))
        # The first passes say much: the machine may have been busy when it was calibrated.
        gain = max(_GAIN, 1 / (2 + self._learned))
        self._learned += 1
        self._log_scale += gain * miss
        self._log_error += gain * (abs(miss) - self._log_error)

    def _reached(self, depth: int) -> float:
        return (depth + 1) / (self._layers + 1)
