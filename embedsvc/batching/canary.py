"""A short clip that goes through an encoder when nothing else does: and what it must answer."""

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np

from embedsvc.types import Ask, Encoded

IDLE = 10.0
"""Seconds without work after which the canary is sent."""

SICK = 1.0
"""The same while the encoder is not well, so that it is not thought ill for long."""

LENGTH = 50
"""Frames of the clip: a second."""

TOLERANCE = 0.05
"""Of the largest number: how far an answer may be from the first; rounding is far below."""


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

    def fault(self) -> str:
        """Send it; what is wrong with the answer, or nothing."""
        try:
            (encoded,) = self._encode([self.clip], [self.ask])
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


def wait(fault: str) -> float:
    """Seconds to wait for work before canaries are sent."""
    return SICK if fault else IDLE
