"""A live stream of PCM as text: what waits for the end of a segment is heard again and again.

The encoder hears a segment from its start, each time as far as it has come, normalized by what was
heard of the stream so far; what two passes in a row agree on is stable. When a segment is over, its
samples alone are heard once more, as if they were a recording of their own: that is its text.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from embedsvc.audio import Door, active, log_mel, prior
from embedsvc.ctc.streaming import Agreement
from embedsvc.encoder.ctc import CtcHead
from embedsvc.pipeline.cutting import Cutter, Piece
from embedsvc.pipeline.listening import Active
from embedsvc.pipeline.live_pcm import LivePcm
from embedsvc.pipeline.live_steps import (
    Final,
    Given,
    Interim,
    Pass,
    Plan,
    Progress,
    SpeechEvent,
    Steps,
)
from embedsvc.pipeline.resuming import Place
from embedsvc.pipeline.writing import Labels, Writer, written
from embedsvc.timing import FRAME, MIN_SAMPLES, SAMPLE_RATE
from embedsvc.types import (
    AudioWarning,
    DecodeOptions,
    Encoded,
    Floats,
    PcmFormat,
    Span,
    SpeechEventKind,
    Window,
)

NOTHING = -100.0
"""Log-probability of every label but the blank where there is no sound."""

SETTLED = 2 * SAMPLE_RATE
"""Samples behind a word after which it is stable even if two passes heard it otherwise."""

KEPT = SAMPLE_RATE
"""Samples of silence that a segment may begin with."""


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

    def quiet(self, window: Window, active: Active) -> None:
        """Take a core of whole labels in which nothing sounds: blanks, which nobody needs ask."""
        self.sounding = self.active(window, active)
        vocabulary = self._head.vocabulary
        count = len(window.core) // self._hop
        self.log_probs = np.full((count, len(vocabulary.labels)), NOTHING, np.float32)
        self.log_probs[:, vocabulary.blank] = 0.0


class Recompute:
    """Cuts a stream into stretches; when it is heard does not depend on its chunks.

    Holds at most a segment, the silence before it, an interval and a chunk, in samples. A `place`
    is where an earlier call was, whose audio comes again from there on.
    """

    def __init__(
        self,
        pcm: PcmFormat,
        door: Door,
        head: CtcHead,
        options: DecodeOptions,
        plan: Plan,
        place: Place | None = None,
    ) -> None:
        self._stream = LivePcm(pcm, door, resumed=place is not None)
        self._head = head
        self._options = options
        self._plan = plan
        self._waiting: Floats = np.empty(0, np.float32)
        self._held: Floats = np.empty(0, np.float32)
        place = place or Place(0, 0, 0, plan.interval, prior())
        self._origin = self._first = place.start
        self._counted, self._statistics = place.step, place.statistics
        self._next = place.next
        self._speaks = place.speaks
        self._said = Agreement()

    @property
    def bodies(self) -> Mapping[str, str]:
        """The encoder that hears it, for the head."""
        return {self._head.body.key: self._head.info.name}

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed of the audio; complete after `finish`."""
        return self._stream.warnings

    @property
    def samples(self) -> int:
        """What came of it in this call."""
        return self._end + len(self._waiting) - self._first

    @property
    def _end(self) -> int:
        """The end of what was heard."""
        return self._origin + len(self._held)

    def push(self, data: bytes) -> Steps:
        """Passes whenever another interval of samples is there, and what they tell."""
        return self._ahead(self._stream.push(data))

    def flush(self) -> Steps:
        """The end of the stretch, with all that came so far."""
        if len(self._waiting):
            self._hold(len(self._waiting))
            self._next = self._end + self._plan.interval
            yield from self._listen()
        yield from self._rest()

    def finish(self) -> Steps:
        """What is left to hear; raises for a stream shorter than a frame."""
        yield from self._ahead(self._stream.finish())
        yield from self.flush()

    def _ahead(self, samples: Floats) -> Steps:
        self._waiting = np.concatenate([self._waiting, samples])
        while (wanted := self._next - self._end) <= len(self._waiting):
            self._hold(wanted)
            self._next += self._plan.interval
            yield from self._listen()

    def _hold(self, samples: int) -> None:
        fresh = self._waiting[max(0, self._counted - self._end) : samples]
        self._statistics = self._statistics.with_sound(fresh)
        self._held = np.concatenate([self._held, self._waiting[:samples]])
        self._waiting = self._waiting[samples:].copy()
        self._counted = max(self._counted, self._end)

    def _listen(self) -> Steps:
        """Hear what is held; behind a stretch that is over, the rest is heard anew."""
        while len(self._held) >= MIN_SAMPLES:
            sounding = active(self._held)
            if not self._speaks and not sounding.any():
                # The cutter takes frames without sound as blanks, whatever the head says.
                yield from self._silence()
                return
            ear = Ear(self._head)
            yield Pass(alone(self._held), ear, self._given(sounding))
            cutter = Cutter(self._head.vocabulary, self._head.grid.hop, self._plan.end_silence)
            piece = next(cutter.push(ear.log_probs, ear.sounding), None)
            if piece is None:
                yield from self._ongoing(cutter.held())
                return
            yield from self._began(piece)
            yield from self._over(self._trimmed(piece))

    def _given(self, sounding: Active) -> Given | None:
        """Features by the level of the stream; an encoder that reads samples sets its own."""
        if self._head.body.of_samples:
            return None
        # By itself, noise before speech would be as loud as speech.
        return Given(self._statistics.normalized(log_mel(self._held)), sounding)

    def _ongoing(self, piece: Piece | None) -> Steps:
        if piece is None:
            yield from self._silence()
            return
        yield from self._began(piece)
        piece = self._trimmed(piece)
        words = written(piece, self._head, self._options, self._origin).words
        self._said = self._said.heard(words, self._end - SETTLED)
        yield Interim(self._said.stable, self._said.unstable, Span(self._origin, self._end))

    def _silence(self) -> Steps:
        """Nothing is held that was said; whatever was told of it was no speech."""
        yield from self._ended(self._origin)
        self._said = Agreement()
        old = (len(self._held) - KEPT) // FRAME * FRAME
        if old > 0:
            self._forget(old)
            yield Progress(self._origin, self._place(self._next))

    def _trimmed(self, piece: Piece) -> Piece:
        """A piece with which what is held begins: the silence before it is forgotten.

        A stretch is normalized by itself, and silence is not what its speech is to be measured by.
        """
        first = piece.start
        self._forget(first * self._head.grid.hop)
        said = (piece.said[0] - first, piece.said[1] - first)
        return replace(piece, start=0, said=said)

    def _over(self, piece: Piece) -> Steps:
        """The stretch of a piece: its end, and its text from its own samples."""
        if piece.paused:
            yield from self._ended(self._origin + self._head.grid.span(piece.said[1]).start)
        end = (piece.start + len(piece.log_probs)) * self._head.grid.hop
        yield from self._final(min(end, len(self._held)))

    def _rest(self) -> Steps:
        """All that is held, as the last stretch, unless it is less than a frame."""
        if len(self._held) < MIN_SAMPLES:
            return
        if self._speaks:
            yield from self._ended(self._end)
            yield from self._final(len(self._held))
            return
        heard = Span(self._origin, self._end)
        self._forget(len(self._held))
        yield Final((), heard, self._place(self._end))

    def _final(self, length: int) -> Steps:
        samples, at, now = self._held[:length], self._origin, self._end
        self._forget(length)
        self._said = Agreement()
        writer = Writer(self._head, self._options, at)
        yield Pass(alone(samples), writer)
        place = self._place(now)
        yield Final(tuple(writer.rest()), Span(at, self._origin), place)

    def _place(self, heard_next: int) -> Place:
        at = self._origin
        return Place(at, self._counted, at, heard_next, self._statistics, speaks=self._speaks)

    def _began(self, piece: Piece) -> Steps:
        if not self._speaks:
            self._speaks = True
            at = self._origin + self._head.grid.span(piece.said[0]).start
            yield SpeechEvent(SpeechEventKind.BEGAN, at)

    def _ended(self, at: int) -> Steps:
        if self._speaks:
            self._speaks = False
            yield SpeechEvent(SpeechEventKind.ENDED, at)

    def _forget(self, samples: int) -> None:
        self._held = self._held[samples:].copy()
        self._origin += samples


def alone(samples: Floats) -> Window:
    """A window of its own, which hears nothing around it."""
    whole = Span(0, len(samples))
    return Window(samples.copy(), whole, whole)
