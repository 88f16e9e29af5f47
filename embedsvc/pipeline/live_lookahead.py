"""A live stream of PCM as text: each moment is heard once, with what is around it.

Every step the encoder hears the seconds before it, the step, and a lookahead behind it; what it
says of the step is told and never taken back. Features are normalized by what was heard so far.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from embedsvc.audio import Door, RunningMel, Statistics, active, prior
from embedsvc.encoder.ctc import CtcHead
from embedsvc.pipeline.cutting import Cutter, Piece
from embedsvc.pipeline.listening import Active
from embedsvc.pipeline.live_pcm import LivePcm
from embedsvc.pipeline.live_recompute import Ear, alone
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
from embedsvc.pipeline.writing import Writer, written
from embedsvc.timing import FRAME, HOP, MIN_SAMPLES, SAMPLE_RATE, STRIDE, frame_count
from embedsvc.types import (
    AudioWarning,
    DecodeOptions,
    Floats,
    PcmFormat,
    Span,
    SpeechEventKind,
    Window,
    Word,
)

PAST = 4 * SAMPLE_RATE
"""What the encoder hears before a step, in samples."""

PROGRESS = 5 * SAMPLE_RATE
"""Samples of silence after which is told how far it lasts."""

NO_SAMPLES = np.empty(0, np.float32)


@dataclass(frozen=True)
class _Step:
    """Where a step began, and what had been heard before it."""

    start: int
    counted: int
    statistics: Statistics


class Lookahead:
    """Hears a stream step by step; how does not depend on its chunks.

    Holds the past, a step, a lookahead and a chunk; with a final pass the samples of a stretch too.
    A `place` is where an earlier call was, whose audio comes again from there on.
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
        self._hop = hop = head.grid.hop
        lengths = (PAST, plan.interval, plan.lookahead)
        self._past, self._step, self._ahead = (-(-each // hop) * hop for each in lengths)
        place = place or Place(0, 0, 0, 0, prior())
        self._first = self._base = place.sent
        self._samples: Floats = NO_SAMPLES
        self._mel = RunningMel(place.sent // HOP, place.next // HOP, place.statistics)
        self._start, self._fresh = place.step, place.start // hop
        self._steps: deque[_Step] = deque()
        self._cutter = self._new_cutter(place.start, speaks=place.speaks)
        self._speaks = place.speaks
        self._progress = place.start

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
        return self._end - self._first

    @property
    def _end(self) -> int:
        return self._base + len(self._samples)

    def push(self, data: bytes) -> Steps:
        """A pass for each step whose lookahead is there, and what it tells."""
        return self._take(self._stream.push(data))

    def flush(self) -> Steps:
        """The end of the stretch, with all that came so far."""
        yield from self._hear(self._end, self._end)
        over = list(self._cutter.finish())
        for piece in over:
            yield from self._over(piece, last=True)
        if not over and self._start > self._cutter.start * self._hop:
            heard = Span(self._cutter.start * self._hop, self._start)
            self._cutter = self._new_cutter(self._start)
            self._progress = self._start
            yield Final((), heard, self._place())

    def finish(self) -> Steps:
        """What is left to hear; raises for a stream shorter than a frame."""
        yield from self._take(self._stream.finish())
        yield from self.flush()

    def _take(self, samples: Floats) -> Steps:
        self._samples = np.concatenate([self._samples, samples])
        while self._end >= self._start + self._step + self._ahead:
            step = self._start + self._step
            yield from self._hear(step, step + self._ahead)

    def _hear(self, step: int, end: int) -> Steps:
        """Hear up to `end` what is to be told up to `step`; all of it if they are the same."""
        self._steps.append(_Step(self._start, self._mel.counted, self._mel.statistics))
        self._mel.hear(self._samples[: end - self._base], self._base)
        span = Span(max(self._start - self._past, 0), end)
        if frame_count(len(span)) * FRAME <= self._start - span.start:
            return
        window = Window(NO_SAMPLES, span, Span(self._start, step))
        given, sounds = self._given(window)
        ear = Ear(self._head)
        if sounds or step == end:
            yield Pass(window, ear, given)
        else:
            ear.quiet(window, given.active)
        skipped = max(0, self._fresh - self._start // self._hop)
        self._start += len(ear.log_probs) * self._hop
        yield from self._tell(ear.log_probs[skipped:], ear.sounding[skipped:])
        self._forget()

    def _given(self, window: Window) -> tuple[Given, bool]:
        """Features of a window, what of its core holds sound, and whether any of it does."""
        frames, sounding = self._mel.window(window.span.start // HOP)
        core = self._samples[window.core.start - self._base : window.core.end - self._base]
        return Given(frames, active(core)), bool(sounding.any())

    def _tell(self, log_probs: Floats, sounding: Active) -> Steps:
        for piece in self._cutter.push(log_probs, sounding):
            yield from self._over(piece)
        held = self._cutter.held()
        if held is not None:
            yield from self._began(held)
            stable, unstable = self._words(held)
            yield Interim(stable, unstable, Span(held.start * self._hop, self._start))
        elif self._cutter.start * self._hop >= self._progress + PROGRESS:
            self._progress = self._cutter.start * self._hop
            yield Progress(self._progress, self._place())

    def _words(self, piece: Piece) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
        """Words that are over, and the last one while it is said."""
        words = written(piece, self._head, self._greedy).words
        if not words:
            return (), ()
        space = self._head.vocabulary.space
        last = (words[-1].span.end - self._head.grid.span(piece.start).start) // self._hop
        behind = piece.log_probs[last:].argmax(axis=1)
        over = len(behind) > 0 if space is None else bool((behind == space).any())
        return (words, ()) if over else (words[:-1], words[-1:])

    @property
    def _greedy(self) -> DecodeOptions:
        """A beam may take back what it told."""
        return DecodeOptions(alternatives=self._options.alternatives)

    def _over(self, piece: Piece, *, last: bool = False) -> Steps:
        """The text of a piece, and where speech ended if nothing goes on behind it."""
        yield from self._began(piece)
        if self._speaks and not self._cutter.speaks:
            self._speaks = False
            at = self._head.grid.span(piece.said[1]).start
            yield SpeechEvent(SpeechEventKind.ENDED, at)
        heard = Span(piece.start * self._hop, (piece.start + len(piece.log_probs)) * self._hop)
        if last:
            heard = Span(heard.start, self._start)
            self._cutter = self._new_cutter(self._start)
        place = self._place()
        self._progress = self._cutter.start * self._hop
        if not self._plan.final_pass:
            segment = written(piece, self._head, self._greedy)
            yield Final((segment,) if segment.words else (), heard, place)
            return
        samples = self._samples[heard.start - self._base : heard.end - self._base]
        writer = Writer(self._head, self._options, heard.start)
        if len(samples) >= MIN_SAMPLES:
            yield Pass(alone(samples), writer)
        yield Final(tuple(writer.rest()), heard, place)

    def _began(self, piece: Piece) -> Steps:
        if not self._speaks:
            self._speaks = True
            at = self._head.grid.span(piece.said[0]).start
            yield SpeechEvent(SpeechEventKind.BEGAN, at)

    def _new_cutter(self, start: int, *, speaks: bool = False) -> Cutter:
        return Cutter(
            self._head.vocabulary,
            self._hop,
            self._plan.end_silence,
            start=start // self._hop,
            speaks=speaks,
        )

    def _place(self) -> Place:
        """Where what waits begins, and the step in which that was heard."""
        start = self._cutter.start * self._hop
        now = _Step(self._start, self._mel.counted, self._mel.statistics)
        step = next(each for each in (now, *reversed(self._steps)) if each.start <= start)
        sent = max(step.start - self._past, 0)
        counted = step.counted * HOP
        speaks = self._cutter.speaks
        return Place(sent, step.start, start, counted, step.statistics, speaks=speaks)

    def _forget(self) -> None:
        """Let go of what no step, no final pass and no place needs any more."""
        waits = self._cutter.start * self._hop
        while len(self._steps) > 1 and self._steps[1].start <= waits:
            self._steps.popleft()
        keep = min(self._start, self._mel.end // STRIDE * FRAME)
        if self._plan.final_pass:
            keep = min(keep, waits)
        self._samples = self._samples[max(keep - self._base, 0) :].copy()
        self._base = max(keep, self._base)
        self._mel.forget((self._start - self._past) // HOP)
