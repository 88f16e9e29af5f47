"""A short clip that goes through an encoder now and then: and what it must answer."""

import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedsvc.types import Ask, Encoded

IDLE = 10.0
"""Seconds without work after which the canary is sent."""

BUSY = 60.0
"""The same while there is always work: an encoder that answers nonsense must not do so unseen."""

SICK = 1.0
"""The same while the encoder is not well, so that it is not thought ill for long."""

REST = 10.0
"""Times as long as its pass: how long it is not sent again to an encoder that is not well, so that
it takes little of the time of others.
"""

LENGTH = 50
"""Frames of the clip: a second."""

TOLERANCE = 0.05
"""Of the largest number: how far an answer may be from the first; rounding is far below."""


@dataclass(frozen=True)
class Fault:
    """Why an encoder is not well, in words for a log alone, and since when, as `time.time` has it.

    `error` is what it raised.
    """

    text: str
    since: float = field(default_factory=time.time)
    error: Exception | None = None


class Canary:
    """Knows the first answer that an encoder of `layers` blocks gave for the clip."""

    def __init__(
        self,
        encode: Callable[[Sequence[Any], Sequence[Ask]], Sequence[Encoded]],
        layers: int,
        clip: Sized,
    ) -> None:
        self._encode = encode
        self._known: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
        self.clip = clip
        self.ask = Ask((layers,), keep=(0, len(clip)))

    def fault(self) -> Fault | None:
        """Send it; what is wrong with the answer, or nothing."""
        try:
            (encoded,) = self._encode([self.clip], [self.ask])
            states = encoded.frames[self.ask.layers[0]]
        except Exception as error:  # noqa: BLE001  # whatever it is, the encoder is not well
            text = f"the encoder fails on a known clip: {type(error).__name__}"
            return Fault(text, error=error)
        if not np.isfinite(states).all():
            return Fault("the encoder's answers are not finite")
        if self._known is None:
            self._known = states
        if np.abs(states - self._known).max() > TOLERANCE * np.abs(self._known).max():
            return Fault("the encoder answers a known clip differently than before")
        return None


def wait(*, sick: bool) -> float:
    """Seconds to wait for work before canaries are sent; some encoder may be `sick`."""
    return SICK if sick else IDLE


def rest(seconds: float) -> float:
    """Seconds between two canaries of an encoder that is not well, each of which takes so many."""
    return max(SICK, REST * seconds)
