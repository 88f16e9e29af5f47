"""Writes down one recording, from the same windows as everything else is made of.

What a head says of the cores of windows is joined before anything is read from it, so that a word
that lies across two windows is one. Segments are written as soon as they are over: memory holds one
of them, and the text.
"""

from dataclasses import replace

import numpy as np

from embedsvc.audio import core_frames
from embedsvc.ctc import align_text, transcribe
from embedsvc.encoder.ctc import CtcHead
from embedsvc.errors import InvalidArgument
from embedsvc.pipeline.cutting import Cutter, Piece
from embedsvc.pipeline.listening import Active
from embedsvc.timing import FRAME
from embedsvc.types import Ask, DecodeOptions, Encoded, Floats, Span, TranscriptSegment, Window


class Labels:
    """What a head says of windows: labels of the recording, each of them once.

    A head with a stride reads windows from a frame on where one of the recording's labels begins,
    so that labels lie alike in all windows; those of the cores tile the recording.
    """

    hears = False
    is_light = False

    def __init__(self, head: CtcHead) -> None:
        self.body = head.body
        self._head = head
        self._hop = head.grid.hop
        # Without a convolution over frames, a label is what its own frame says.
        alone = head.count(1) == 1 and not head.reach
        self._reads_cores = head.grid.hop == FRAME and alone
        self.frame_count = 0
        self.samples = 0

    def ask(self, window: Window) -> Ask:
        """The frames that the head reads."""
        return Ask((self._head.layer,), keep=self._read(window))

    def take(self, window: Window, encoded: Encoded) -> Floats:
        """Log-probabilities (T, V) of the labels of the core; windows come in order."""
        start, end = core_frames(window, self.body.grid.count)
        self.frame_count += end - start
        self.samples = window.core.end
        log_probs = self._head(encoded.frames[self._head.layer])
        first = (window.span.start + self._read(window)[0] * FRAME) // self._hop
        begin = -(-window.core.start // self._hop)
        if window.core.end == window.span.end:
            return log_probs[begin - first :]
        return log_probs[begin - first : -(-window.core.end // self._hop) - first]

    def active(self, window: Window, active: Active) -> Active:
        """Which of those labels hold sound, of what is told of the frames of the core."""
        stride = self._hop // FRAME
        if stride == 1:
            return active
        # The first label may begin before the core, or some frames after its start.
        skipped = -(window.core.start // FRAME) % stride
        kept = active[skipped:]
        padded = np.zeros(-(-len(kept) // stride) * stride, np.bool_)
        padded[: len(kept)] = kept
        return np.asarray(padded.reshape(-1, stride).any(axis=1))

    def _read(self, window: Window) -> tuple[int, int]:
        if self._reads_cores:
            return core_frames(window, self.body.grid.count)
        first = -(window.span.start // FRAME) % (self._hop // FRAME)
        return first, self.body.grid.count(len(window.span))


class Writer(Labels):
    """Takes windows, and gives the segments that they complete."""

    hears = True

    def __init__(self, head: CtcHead, options: DecodeOptions, origin: int = 0) -> None:
        super().__init__(head)
        self._options = options
        self._origin = origin
        self._cutter = Cutter(head.vocabulary, head.grid.hop)
        self._ready: list[TranscriptSegment] = []

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`."""
        assert active is not None, "it hears"
        log_probs = self.take(window, encoded)
        for piece in self._cutter.push(log_probs, self.active(window, active)):
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
        segment = written(piece, self._head, self._options, self._origin)
        if segment.words:
            self._ready.append(segment)


class Keeper(Labels):
    """Keeps what a head says of all of an utterance."""

    def __init__(self, head: CtcHead) -> None:
        super().__init__(head)
        self._parts: list[Floats] = []

    def add(self, window: Window, encoded: Encoded, _active: Active | None = None, /) -> None:
        """Take the answer for `window`."""
        self._parts.append(self.take(window, encoded))

    def aligned(self, text: str) -> TranscriptSegment:
        """When each word of `text` is said; raises InvalidArgument for one that does not fit."""
        head = self._head
        log_probs = np.concatenate(self._parts)
        start = head.grid.span(0).start
        try:
            found = align_text(
                text,
                log_probs,
                head.vocabulary,
                frame=head.grid.hop,
                start=start,
            )
        except InvalidArgument as error:
            raise error.named("text") from error
        return _placed(found)


def written(
    piece: Piece, head: CtcHead, options: DecodeOptions, origin: int = 0
) -> TranscriptSegment:
    """The text of a piece; its span is from the first token to the end of the last.

    `origin` is the sample of the recording with which its labels begin.
    """
    found = transcribe(
        piece.log_probs,
        head.vocabulary,
        options,
        frame=head.grid.hop,
        start=origin + head.grid.span(piece.start).start,
        calibration=head.calibration,
        model=head.language_model,
    )
    return _placed(found)


def _placed(segment: TranscriptSegment) -> TranscriptSegment:
    if not segment.words:
        return segment
    return replace(segment, span=Span(segment.words[0].span.start, segment.words[-1].span.end))
