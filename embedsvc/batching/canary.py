"""A short clip that goes through the encoder when nothing else does: and what it must answer."""

from collections.abc import Callable, Sequence

import numpy as np

from embedsvc.batching.cost import noise
from embedsvc.types import Ask, Encoded, Frames

IDLE = 10.0
"""Seconds without work after which the canary is sent."""

SICK = 1.0
"""The same while the encoder is not well, so that it is not thought ill for long."""

FRAMES = noise(50)
TOLERANCE = 0.05
"""Of the largest number: how far an answer may be from the first; rounding is far below."""


class Canary:
    """Knows the first answer that the encoder gave for it."""

    def __init__(
        self, encode: Callable[[Sequence[Frames], Sequence[Ask]], Sequence[Encoded]], layers: int
    ) -> None:
        self._encode = encode
        self._known: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
        self.frames = FRAMES
        self.ask = Ask((layers,), keep=(0, len(FRAMES)))

    def wait(self, fault: str) -> float:
        """Seconds to wait for work before it is sent."""
        return SICK if fault else IDLE

    def fault(self) -> str:
        """Send it; what is wrong with the answer, or nothing."""
        try:
            (encoded,) = self._encode([self.frames], [self.ask])
            states = encoded.frames[self.ask.layers[0]]
        except Exception as error:  # noqa: BLE001  # whatever it is, the encoder is not well
            return f"the encoder fails on a known clip: {type(error).__name__}"
        if not np.isfinite(states).all():
            return "the encoder's answers are not finite"
        if self._known is None:
            self._known = states
        if np.abs(states - self._known).max() > TOLERANCE * np.abs(self._known).max():
            return "the encoder answers a known clip differently than before"
        return ""
