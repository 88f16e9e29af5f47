"""What probes hear of one recording, from the same windows as everything else is made of.

Pooled probes read moments, frame-level ones the frames of a window as long as it is there: memory
does not grow with the recording, but for a byte for each frame that says whether it holds sound.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.audio import core_frames
from embedsvc.encoder import Encoder, Plan, merge
from embedsvc.encoder.ctc import SERVED
from embedsvc.pipeline import segments
from embedsvc.pipeline.spans import Mean, Spans
from embedsvc.probes import Probe
from embedsvc.timing import FRAME, FRAME_RATE
from embedsvc.types import (
    AnsweredSpan,
    Ask,
    Classification,
    Encoded,
    Floats,
    Moments,
    Pooling,
    ProbeAnswer,
    Segmentation,
    Span,
    Timeline,
    Window,
)

TENTH = int(FRAME_RATE) // 10
"""Frames in what `Timeline.agree` counts of a frame-level probe."""

LIGHT, MANY = 1 << 20, 200
"""Numbers of a probe, and labels, up to which one answer takes some tenths of a millisecond."""

Active = NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """A probe that a request asks, and how this server's encoder makes what it reads."""

    name: str
    probe: Probe
    plans: tuple[Plan, ...]

    @property
    def is_frame_level(self) -> bool:
        """Whether it answers for each frame."""
        return self.plans[0].pooling is Pooling.NONE

    def answer(self, said: Classification, speech_seconds: float) -> ProbeAnswer:
        """What it says, with its name and version."""
        info = self.probe.info
        return ProbeAnswer(info.name, info.version, said, speech_seconds)


def _is_light(asked: Asked) -> bool:
    """Whether one vector is answered sooner than a thread would begin."""
    numbers = asked.probe.numbers
    work = numbers.references.size + numbers.weights.size
    return not asked.is_frame_level and work <= LIGHT and len(asked.probe.info.labels) <= MANY


class Sound:
    """Which frames of a recording hold sound, a byte for each."""

    def __init__(self) -> None:
        self._parts: list[Active] = []
        self._count = 0

    def add(self, active: Active) -> None:
        """The next frames."""
        self._parts.append(active)
        self._count += len(active)

    def seconds(self, span: Span | None = None) -> float:
        """Of sound, in all of it or in `span`."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        if not self._parts:
            return 0.0
        part = self._parts[0]
        if span is not None:
            part = part[span.start // FRAME : -(-span.end // FRAME)]
        return float(np.count_nonzero(part)) / FRAME_RATE


class Listener:
    """Gathers for the probes asked what the windows of one recording give, in order.

    With a `timeline` it answers piece by piece too; frame-level probes do so whenever it is given.
    """

    body = SERVED
    hears = True

    def __init__(
        self, asked: Sequence[Asked], encoder: Encoder, timeline: Timeline | None = None
    ) -> None:
        self._asked = asked
        self._encoder = encoder
        self._timeline = timeline
        pooled = [each for each in asked if not each.is_frame_level]
        self._layers = tuple(sorted({plan.layer for each in asked for plan in each.plans}))
        self._pooled_layers = sorted({plan.layer for each in pooled for plan in each.plans})
        self._parts: list[dict[int, Moments]] = []
        self._pieces = (
            _Pieces(timeline, self._pooled_layers) if timeline is not None and pooled else None
        )
        self._sound = Sound()
        self._frames = {
            place: _FrameAnswers(each, timeline)
            for place, each in enumerate(asked)
            if each.is_frame_level
        }
        agree = timeline.agree if timeline is not None else 1
        self._spans = [Spans(agree) for _ in asked]
        self.is_light = timeline is None and all(map(_is_light, asked))
        self.frame_count = 0
        self.samples = 0

    def ask(self, window: Window) -> Ask:
        """What to ask the encoder about `window`."""
        core = core_frames(window)
        runs = tuple((start, end) for _, start, end in self._runs(window))
        return Ask(self._layers, keep=core if self._frames else None, runs=runs)

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`; windows come in order."""
        assert active is not None, "it hears"
        start, end = core_frames(window)
        self.frame_count += end - start
        self.samples = window.core.end
        self._sound.add(active)
        self._parts.append({layer: merge(encoded.moments[layer]) for layer in self._pooled_layers})
        for answers in self._frames.values():
            answers.add(self._encoder, encoded.frames, active, window.core.start)
        if self._pieces is not None:
            runs = [cell for cell, _, _ in self._runs(window)]
            self._pieces.add(runs, encoded)
            self._say(self._pieces.ready(), self._timeline)

    def answers(self) -> tuple[ProbeAnswer, ...]:
        """What each probe says of the whole recording."""
        seconds = self._sound.seconds()
        joined = {
            layer: merge([part[layer] for part in self._parts]) for layer in self._pooled_layers
        }
        said = []
        for place, each in enumerate(self._asked):
            if place in self._frames:
                said.append(each.answer(self._frames[place].whole(), seconds))
                continue
            vectors = self._vectors(each, [joined])
            (answer,) = each.probe(vectors, [seconds])
            said.append(each.answer(answer, seconds))
        return tuple(said)

    def timelines(self) -> tuple[tuple[AnsweredSpan, ...], ...]:
        """What each probe says over time; empty where there is no timeline."""
        if self._timeline is None:
            return ()
        if self._pieces is not None:
            self._say(self._pieces.rest(self.samples), self._timeline)
        found = []
        for place, each in enumerate(self._asked):
            spans = self._frames[place].spans if place in self._frames else self._spans[place]
            found.append(
                tuple(
                    AnsweredSpan(span, each.answer(said, self._sound.seconds(span)))
                    for span, said in spans.finish(self.samples)
                )
            )
        return tuple(found)

    def _say(
        self, pieces: Sequence[tuple[Span, Mapping[int, Moments]]], timeline: Timeline | None
    ) -> None:
        """Ask the pooled probes about pieces that are complete."""
        if not pieces or timeline is None:
            return
        seconds = [self._sound.seconds(span) for span, _ in pieces]
        for place, each in enumerate(self._asked):
            if place in self._frames:
                continue
            vectors = self._vectors(each, [moments for _, moments in pieces])
            for (span, _), said in zip(pieces, each.probe(vectors, seconds), strict=True):
                # A piece counts around its middle, so that spans have no gaps and no overlaps.
                margin = (timeline.window - timeline.hop) // 2 if span.start else 0
                self._spans[place].push(span.start + margin, said)

    def _vectors(self, asked: Asked, runs: Sequence[Mapping[int, Moments]]) -> Floats:
        """Vectors (n, D) of runs of frames, the spaces of the probe side by side."""
        finish = self._encoder.finish
        return np.stack(
            [
                np.concatenate([finish(plan, run[plan.layer]) for plan in asked.plans])
                for run in runs
            ]
        )

    def _runs(self, window: Window) -> list[tuple[int, int, int]]:
        """(cell, start, end) of each piece of the core, in the window's own frames."""
        start, end = core_frames(window)
        if self._pieces is None or self._timeline is None:
            return [(0, start, end)]
        cell = self._timeline.hop // FRAME
        offset = window.span.start // FRAME
        pieces = []
        while start < end:
            number = (offset + start) // cell
            edge = min(end, (number + 1) * cell - offset)
            pieces.append((number, start, edge))
            start = edge
        return pieces


class _FrameAnswers:
    """What a frame-level probe says, frame by frame."""

    def __init__(self, asked: Asked, timeline: Timeline | None) -> None:
        self._asked = asked
        agree = timeline.agree if timeline is not None else 1
        self.spans = Spans(1 if agree == 1 else agree * TENTH)
        self._over_time = timeline is not None
        self._of_sound = Mean()
        self._of_all = Mean()

    def add(
        self, encoder: Encoder, frames: Mapping[int, Floats], active: Active, start: int
    ) -> None:
        """The frames of a window, of which the first begins at sample `start`."""
        plans = self._asked.plans
        vectors = np.hstack([encoder.finish_frames(plan, frames[plan.layer]) for plan in plans])
        sounding = np.zeros(len(vectors), np.bool_)
        sounding[: len(active)] = active[: len(vectors)]
        # A frame is always short; what is asked is whether there is anything to hear in it.
        seconds = [math.inf if each else 0.0 for each in sounding]
        for number, said in enumerate(self._asked.probe(vectors, seconds)):
            self._of_all.add(said)
            if sounding[number]:
                self._of_sound.add(said)
            if self._over_time:
                self.spans.push(start + number * FRAME, said)

    def whole(self) -> Classification:
        """The mean over the frames that hold sound."""
        return (self._of_sound if self._of_sound.count else self._of_all).whole()


class _Pieces:
    """Cells of one hop each, joined into the windows of a timeline as soon as these are complete.

    The last cell may be short, and belong to the one before: one cell waits until it is known.
    """

    def __init__(self, timeline: Timeline, layers: Sequence[int]) -> None:
        self._form = Segmentation(timeline.window, timeline.hop)
        self._width = timeline.window // timeline.hop
        self._layers = layers
        self._cells: list[dict[int, list[Moments]]] = []
        self._first = 0

    def add(self, cells: Sequence[int], encoded: Encoded) -> None:
        """The next runs of frames, with the numbers of their cells."""
        for place, number in enumerate(cells):
            while number - self._first >= len(self._cells):
                self._cells.append({layer: [] for layer in self._layers})
            for layer in self._layers:
                cell = self._cells[number - self._first]
                cell[layer].append(encoded.moments[layer][place])

    def ready(self) -> list[tuple[Span, dict[int, Moments]]]:
        """The windows that can no longer change; each is given once."""
        found = []
        hop = self._form.hop
        # The window, the cell behind it, and the first of the next: that one is whole then.
        while len(self._cells) >= self._width + 2:
            start = self._first * hop
            found.append((Span(start, start + self._form.length), self._joined()))
            del self._cells[0]
            self._first += 1
        return found

    def rest(self, samples: int) -> list[tuple[Span, dict[int, Moments]]]:
        """The windows up to the end of the recording."""
        origin = self._first * self._form.hop
        by_layer = {
            layer: segments.segments(
                [merge(cell[layer]) for cell in self._cells], samples - origin, self._form
            )
            for layer in self._layers
        }
        spans = [span for span, _ in next(iter(by_layer.values()))]
        self._cells = []
        return [
            (
                Span(span.start + origin, span.end + origin),
                {layer: by_layer[layer][place][1] for layer in self._layers},
            )
            for place, span in enumerate(spans)
        ]

    def _joined(self) -> dict[int, Moments]:
        cells = self._cells[: self._width]
        return {
            layer: merge([part for cell in cells for part in cell[layer]]) for layer in self._layers
        }
