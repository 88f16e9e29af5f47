"""Recordings replayed as live streams without a service: for figures, as fast as it goes."""

from collections.abc import Iterator

import numpy as np

from embedsvc.audio import Door, active, features, windows
from embedsvc.encoder import Encoder
from embedsvc.encoder.ctc import CtcHead
from embedsvc.pipeline.live_steps import Given, LiveSpeech, Pass, Plan, Steps, Told
from embedsvc.pipeline.live_transcriber import MODES
from embedsvc.pipeline.takers import Taker
from embedsvc.pipeline.transcriber import WINDOWING
from embedsvc.pipeline.writing import Writer
from embedsvc.timing import SAMPLE_RATE, frame_count
from embedsvc.types import (
    Ask,
    DecodeOptions,
    Floats,
    PcmFormat,
    SampleFormat,
    TranscriptSegment,
    Window,
)

PCM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)


class Replay:
    """One encoder and head; `frames` counts what the encoder was given."""

    def __init__(self, encoder: Encoder, head: CtcHead) -> None:
        self._encoder = encoder
        self._head = head
        self.frames = 0

    def live(self, samples: Floats, plan: Plan) -> Iterator[Told]:
        """What is told of samples (N,) as a stream."""
        live: LiveSpeech = MODES[plan.mode](PCM, Door(), self._head, DecodeOptions(), plan)
        yield from self._told(live.push(np.asarray(samples, "<f4").tobytes()))
        yield from self._told(live.finish())

    def recording(self, samples: Floats) -> list[TranscriptSegment]:
        """What is written of samples (N,) as a recording."""
        writer = Writer(self._head, DecodeOptions())
        for window in windows(samples, WINDOWING):
            self._run(window, writer, None)
        return writer.rest()

    def _told(self, steps: Steps) -> Iterator[Told]:
        for step in steps:
            if isinstance(step, Pass):
                self._run(step.window, step.taker, step.given)
            else:
                yield step

    def _run(self, window: Window, taker: Taker, given: Given | None) -> None:
        if given is None:
            start = window.core.start - window.span.start
            core = window.samples[start : start + len(window.core)]
            given = Given(features(window.samples), active(core))
        self.frames += frame_count(len(window.span))
        ask: Ask = taker.ask(window)
        (encoded,) = self._encoder.encode([given.frames], [ask])
        taker.add(window, encoded, given.active)
