"""Long audio is cut where it is quietest, into windows that the encoder can take."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, SAMPLE_RATE, frame_count, to_seconds
from embedsvc.types import Floats, Span, Window, Windowing

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_LENGTH = 1 * SAMPLE_RATE
MAX_LENGTH = 60 * SAMPLE_RATE
MIN_CONTEXT = SAMPLE_RATE // 10
"""Shortest context, so that what follows the last cut is never less than a frame."""

_SMOOTH = MIN_CONTEXT // FRAME
"""Frames on either side of a cut over which its energy is taken: 0.2 s, about a syllable."""


def windows(samples: Floats, windowing: Windowing) -> list[Window]:
    """The windows of a whole recording (N,)."""
    windower = Windower(windowing)
    return windower.push(samples) + windower.finish()


def core_frames(window: Window, count: Callable[[int], int] = frame_count) -> tuple[int, int]:
    """Which of the window's own frames belong to its core, as (first, end).

    `count` tells how many frames of 20 ms so many samples have, for an encoder of other features.
    """
    first = (window.core.start - window.span.start) // FRAME
    if window.core.end == window.span.end:
        return first, max(first, count(len(window.span)))
    return first, first + len(window.core) // FRAME


class Windower:
    """Cuts samples that come in pieces; the windows do not depend on the pieces.

    A window is cut when more than length + context samples wait past the start of its core, so
    the last core may be that long too. Holds at most length + 2 x context samples. Lengths are
    rounded down to whole frames.
    """

    def __init__(self, windowing: Windowing) -> None:
        _check(windowing)
        self._length = windowing.length // FRAME * FRAME
        self._context = windowing.context // FRAME * FRAME
        # One more than a cut needs to wait for.
        self._held = np.empty(self._length + 2 * self._context + 1, np.float32)
        self._count = 0
        self._origin = 0
        self._core = 0

    def push(self, samples: Floats) -> list[Window]:
        """The windows that samples (N,) complete."""
        ready = []
        while len(samples):
            room = self._core - self._origin + self._length + self._context + 1 - self._count
            piece, samples = samples[:room], samples[room:]
            self._held[self._count : self._count + len(piece)] = piece
            self._count += len(piece)
            if len(piece) == room:
                ready.append(self._cut())
        return ready

    def finish(self) -> list[Window]:
        """What is left, as the last window; none if there were no samples."""
        end = self._origin + self._count
        if not end:
            return []
        return [self._window(Span(self._core, end), Span(self._origin, end))]

    def _cut(self) -> Window:
        """The window up to the quietest place; what the next one needs stays."""
        start = self._core - self._origin
        waiting = self._held[start : start + self._length + self._context]
        end = self._core + _quietest(waiting, self._length) * FRAME
        window = self._window(Span(self._core, end), Span(self._origin, end + self._context))
        keep = max(end - self._context, 0)
        rest = self._held[keep - self._origin : self._count].copy()
        self._held[: len(rest)] = rest
        self._core, self._origin, self._count = end, keep, len(rest)
        return window

    def _window(self, core: Span, span: Span) -> Window:
        part = self._held[span.start - self._origin : span.end - self._origin]
        return Window(part.copy(), span, core)


def _quietest(samples: Floats, length: int) -> int:
    """The frame in [length / 2, length] at whose start it is quietest, the latest if equal."""
    count = length // FRAME
    first = (count + 1) // 2
    used = samples[(first - _SMOOTH) * FRAME : (count + _SMOOTH) * FRAME]
    frames = used.astype(np.float64).reshape(-1, FRAME)
    energy: NDArray[np.float64] = np.square(frames).sum(axis=1)
    # Sums of their own, not differences of running ones, so that equal sound ties exactly.
    smooth = sliding_window_view(energy, 2 * _SMOOTH).sum(axis=1)
    return count - int(np.argmin(smooth[::-1]))


def _check(windowing: Windowing) -> None:
    _within("windowing.length", windowing.length, MIN_LENGTH, MAX_LENGTH)
    _within("windowing.context", windowing.context, MIN_CONTEXT, windowing.length)


def _within(field: str, samples: int, least: int, most: int) -> None:
    if not least <= samples <= most:
        raise InvalidArgument(
            f"`{field}` must be {to_seconds(least):g} s to {to_seconds(most):g} s, "
            f"but is {to_seconds(samples):g} s",
            field=field,
            minimum_seconds=to_seconds(least),
            maximum_seconds=to_seconds(most),
            seconds=to_seconds(samples),
        )
