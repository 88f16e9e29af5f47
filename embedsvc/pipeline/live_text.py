"""A live stream of PCM as text: what waits for the end of a segment is heard again and again.

The encoder hears a segment from its start, each time as far as it has come; what two passes in a
row agree on is stable. When a segment is over, its samples alone are heard once more, as if they
were a recording of their own: that is its text.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedsvc.audio import Door, PcmStream
from embedsvc.ctc.streaming import Agreement
from embedsvc.encoder.ctc import CtcHead
from embedsvc.pipeline.cutting import Cutter, Piece
from embedsvc.pipeline.listening import Active
from embedsvc.pipeline.writing import Labels, written
from embedsvc.timing import FRAME, MIN_SAMPLES, SAMPLE_RATE
from embedsvc.types import (
    DecodeOptions,
    Encoded,
    Floats,
    PcmFormat,
    Span,
    TranscriptSegment,
    Window,
)

KEPT = SAMPLE_RATE
"""Samples of silence that a segment may begin with."""


@dataclass(frozen=True)
class Interim:
    """Text of a segment that goes on: what stays, and what may change."""

    stable: str
    unstable: str
    heard: Span


@dataclass(frozen=True)
class Final:
    """What is written of a stretch that is over; the same as of a recording of these samples."""

    segments: tuple[TranscriptSegment, ...]
    heard: Span


class Ear(Labels):
    """Hears one window, and what of it holds sound."""

    hears = True

    def __init__(self, head: CtcHead) -> None:
        super().__init__(head)
        self.log_probs: Floats = np.empty((0, 0), np.float32)
        self.sounding: Active = np.empty(0, np.bool_)

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for the window."""
        assert active is not None, "it hears"
        self.log_probs = self.take(window, encoded)
        self.sounding = self.active(window, active)


class LiveText:
    """Cuts a stream into stretches; when it is heard does not depend on its chunks.

    Holds at most a segment, the silence before it, an `interval` and a chunk, in samples.
    """

    def __init__(
        self, pcm: PcmFormat, door: Door, head: CtcHead, options: DecodeOptions, interval: int
    ) -> None:
        self._stream = PcmStream(pcm, door)
        self._head = head
        self._options = options
        self._interval = interval
        self._waiting: Floats = np.empty(0, np.float32)
        self._held: Floats = np.empty(0, np.float32)
        self._origin = 0
        self._said = Agreement()

    def push(self, data: bytes) -> Iterator[Window]:
        """A window whenever there is more to hear, to be taken before the next."""
        yield from self._ahead(self._stream.push(data))

    def finish(self) -> Iterator[Window]:
        """What is left to hear; raises for a stream shorter than a frame."""
        yield from self._ahead(self._stream.finish())
        yield from self.flush()

    def flush(self) -> Iterator[Window]:
        """Everything received so far, unless it was heard."""
        if not len(self._waiting):
            return
        self._held = np.concatenate([self._held, self._waiting])
        self._waiting = np.empty(0, np.float32)
        yield from self._window()

    def heard(self, ear: Ear) -> Interim | Span | None:
        """What the pass says: text so far, or the stretch that is over, or nothing."""
        cutter = Cutter(self._head.vocabulary, self._head.grid.hop)
        piece = next(cutter.push(ear.log_probs, ear.sounding), None)
        if piece is not None:
            return self._stretch(piece)
        ongoing = cutter.held()
        if ongoing is None:
            # Whatever was told of this was no speech.
            self._said = Agreement()
            self._forget((len(self._held) - KEPT) // FRAME * FRAME)
            return None
        words = written(ongoing, self._head, self._options, self._origin).words
        self._said = self._said.heard(words)
        return Interim(
            " ".join(word.text for word in self._said.stable),
            " ".join(word.text for word in self._said.unstable),
            Span(self._origin, self._origin + len(self._held)),
        )

    def rest(self) -> Span | None:
        """All that is held, as the last stretch; None when it is less than a frame."""
        whole = Span(self._origin, self._origin + len(self._held))
        return whole if len(whole) >= MIN_SAMPLES else None

    def cut(self, stretch: Span) -> Window:
        """The samples of a stretch that is over, which are forgotten."""
        samples = self._held[: len(stretch)]
        self._forget(len(stretch))
        self._said = Agreement()
        return _alone(samples)

    def again(self) -> Iterator[Window]:
        """What is held behind a stretch, which no pass has heard from its own start."""
        yield from self._window()

    def _ahead(self, samples: Floats) -> Iterator[Window]:
        """Hear whenever another interval of samples is there."""
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= self._interval:
            self._held = np.concatenate([self._held, self._waiting[: self._interval]])
            self._waiting = self._waiting[self._interval :]
            yield from self._window()

    def _window(self) -> Iterator[Window]:
        if len(self._held) >= MIN_SAMPLES:
            yield _alone(self._held)

    def _stretch(self, piece: Piece) -> Span:
        end = (piece.start + len(piece.log_probs)) * self._head.grid.hop
        return Span(self._origin, self._origin + min(end, len(self._held)))

    def _forget(self, samples: int) -> None:
        if samples > 0:
            self._held = self._held[samples:].copy()
            self._origin += samples


def _alone(samples: Floats) -> Window:
    """A window of its own, which hears nothing around it."""
    whole = Span(0, len(samples))
    return Window(samples.copy(), whole, whole)
