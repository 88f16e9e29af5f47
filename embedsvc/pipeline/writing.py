"""Writes down one recording, from the same windows as everything else is made of.

What a head says of the cores of windows is joined before anything is read from it, so that a word
that lies across two windows is one. Segments are written as soon as they are over: memory holds one
of them, and the text.
"""

from dataclasses import replace

import numpy as np

from embedsvc.audio import core_frames
from embedsvc.ctc import align_text, transcribe
from embedsvc.errors import InvalidArgument
from embedsvc.pipeline.cutting import Cutter, Piece
from embedsvc.pipeline.heads import Head
from embedsvc.pipeline.listening import Active
from embedsvc.timing import FRAME
from embedsvc.types import Ask, DecodeOptions, Encoded, Floats, Span, TranscriptSegment, Window


def written(piece: Piece, head: Head, options: DecodeOptions) -> TranscriptSegment:
    """The text of a piece; its span is from the first token to the end of the last."""
    segment = transcribe(
        piece.log_probs,
        head.vocabulary,
        options,
        frame=FRAME,
        start=piece.start * FRAME,
        calibration=head.calibration,
    )
    return placed(segment)


def placed(segment: TranscriptSegment) -> TranscriptSegment:
    """The same segment, from its first word to the end of the last."""
    if not segment.words:
        return segment
    return replace(segment, span=Span(segment.words[0].span.start, segment.words[-1].span.end))


class Writer:
    """Takes windows, and gives the segments that they complete."""

    hears = True
    is_light = False

    def __init__(self, head: Head, options: DecodeOptions) -> None:
        self._head = head
        self._options = options
        self._cutter = Cutter(head.vocabulary, FRAME)
        self._ready: list[TranscriptSegment] = []
        self.frame_count = 0
        self.samples = 0

    def ask(self, window: Window) -> Ask:
        """The frames of the core."""
        return Ask((self._head.layer,), keep=core_frames(window))

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`; windows come in order."""
        start, end = core_frames(window)
        self.frame_count += end - start
        self.samples = window.core.end
        log_probs = self._head(encoded.frames[self._head.layer])
        for piece in self._cutter.push(log_probs, active):
            self._write(piece)

    def taken(self) -> list[TranscriptSegment]:
        """The segments that are ready, each once."""
        ready, self._ready = self._ready, []
        return ready

    def rest(self) -> list[TranscriptSegment]:
        """The last segments, after all windows."""
        for piece in self._cutter.finish():
            self._write(piece)
        return self.taken()

    def _write(self, piece: Piece) -> None:
        segment = written(piece, self._head, self._options)
        if segment.words:
            self._ready.append(segment)


class Keeper:
    """Keeps what a head says of all of an utterance, (T, V)."""

    hears = False
    is_light = False

    def __init__(self, head: Head) -> None:
        self._head = head
        self._parts: list[Floats] = []
        self.frame_count = 0
        self.samples = 0

    def ask(self, window: Window) -> Ask:
        """The frames of the core."""
        return Ask((self._head.layer,), keep=core_frames(window))

    def add(self, window: Window, encoded: Encoded, _active: Active | None = None, /) -> None:
        """Take the answer for `window`; windows come in order."""
        start, end = core_frames(window)
        self.frame_count += end - start
        self.samples = window.core.end
        self._parts.append(self._head(encoded.frames[self._head.layer]))

    def aligned(self, text: str) -> TranscriptSegment:
        """When each word of `text` is said; raises InvalidArgument for one that does not fit."""
        log_probs = np.concatenate(self._parts)
        vocabulary, calibration = self._head.vocabulary, self._head.calibration
        try:
            return placed(align_text(text, log_probs, vocabulary, calibration=calibration))
        except InvalidArgument as error:
            raise error.named("text") from error
