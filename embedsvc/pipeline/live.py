"""A live stream of PCM as windows, with flushes in between."""

from dataclasses import replace

import numpy as np

from embedsvc.audio import Door, PcmStream, Windower
from embedsvc.timing import MIN_SAMPLES
from embedsvc.types import AudioWarning, Floats, PcmFormat, Span, Window, Windowing


class Live:
    """Cuts PCM that arrives in any chunks; a flush ends a window early, on the same time axis."""

    def __init__(self, pcm: PcmFormat, door: Door, windowing: Windowing) -> None:
        self._stream = PcmStream(pcm, door)
        self._windowing = windowing
        self._windower = Windower(windowing)
        self._origin = 0
        self._since = 0

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete after `finish`."""
        return self._stream.warnings

    def push(self, data: bytes) -> list[Window]:
        """The windows that `data` completes."""
        return self._take(self._stream.push(data))

    def flush(self) -> list[Window]:
        """What has arrived since the last window, unless it is less than a frame."""
        if self._since < MIN_SAMPLES:
            return []
        windows = [self._moved(window) for window in self._windower.finish()]
        self._origin += self._since
        self._since = 0
        self._windower = Windower(self._windowing)
        return windows

    def finish(self) -> list[Window]:
        """The last windows; raises for a stream shorter than a frame."""
        windows = self._take(self._stream.finish())
        return windows + self.flush()

    def _take(self, samples: Floats) -> list[Window]:
        self._since += len(samples)
        return [self._moved(window) for window in self._windower.push(np.asarray(samples))]

    def _moved(self, window: Window) -> Window:
        return replace(
            window,
            span=_shifted(window.span, self._origin),
            core=_shifted(window.core, self._origin),
        )


def _shifted(span: Span, by: int) -> Span:
    return Span(span.start + by, span.end + by)
