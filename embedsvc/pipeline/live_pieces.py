"""A live stream of PCM as the windows of a timeline, each heard on its own."""

from collections.abc import Iterator

import numpy as np

from embedsvc.audio import Door, PcmStream
from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, MIN_SAMPLES, to_seconds
from embedsvc.types import AudioWarning, Floats, PcmFormat, Span, Timeline, Window, Windowing


class LivePieces:
    """Cuts PCM that arrives in any chunks into windows that overlap.

    A window is given when its last sample is there: it hears the context before it and none behind,
    as the last window of a recording does. Holds at most window + context samples and a chunk.
    """

    def __init__(
        self, pcm: PcmFormat, door: Door, timeline: Timeline, windowing: Windowing
    ) -> None:
        if timeline.window > windowing.length:
            raise InvalidArgument(
                f"`config.timeline.window` must be at most {to_seconds(windowing.length):g} s, the "
                f"windowing of the probes, but is {to_seconds(timeline.window):g} s",
                field="config.timeline.window",
            )
        self._stream = PcmStream(pcm, door)
        self._timeline = timeline
        self._context = windowing.context // FRAME * FRAME
        self._held: Floats = np.empty(0, np.float32)
        self._origin = 0
        self._start = 0
        self._said = 0

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete after `finish`."""
        return self._stream.warnings

    def push(self, data: bytes) -> Iterator[Window]:
        """The windows that `data` completes, to be taken before more is pushed."""
        yield from self._take(self._stream.push(data))

    def finish(self) -> Iterator[Window]:
        """The last windows; raises for a stream shorter than a frame.

        What is left behind the last whole window is answered for in a window that ends there, when
        it is half a hop or more, or all there is.
        """
        yield from self._take(self._stream.finish())
        end = self._origin + len(self._held)
        left = end - self._said
        if left >= MIN_SAMPLES and (left >= self._timeline.hop // 2 or not self._said):
            start = max(0, end - self._timeline.window) // FRAME * FRAME
            yield self._window(Span(start, end))

    def _take(self, samples: Floats) -> Iterator[Window]:
        self._held = np.concatenate([self._held, samples])
        length, hop = self._timeline.window, self._timeline.hop
        while self._origin + len(self._held) >= self._start + length:
            yield self._window(Span(self._start, self._start + length))
            self._said = self._start + length
            self._start += hop
        # The last window may begin anywhere up to the next one's start, and hears what is before.
        keep = max(self._origin, self._start - hop - self._context)
        self._held = self._held[keep - self._origin :].copy()
        self._origin = keep

    def _window(self, core: Span) -> Window:
        begin = max(self._origin, core.start - self._context)
        part = self._held[begin - self._origin : core.end - self._origin]
        return Window(part.copy(), Span(begin, core.end), core)
