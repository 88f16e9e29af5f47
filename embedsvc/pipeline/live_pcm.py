"""The samples of one call of a live stream."""

import numpy as np

from embedsvc.audio import Door, PcmStream
from embedsvc.errors import AudioEmpty, AudioTooShort
from embedsvc.types import AudioWarning, Floats, PcmFormat


class LivePcm:
    """PCM pushed in pieces of any size becomes samples (N,) at 16 kHz.

    One that was `resumed` may have been at its end, and then nothing more comes of it.
    """

    def __init__(self, pcm: PcmFormat, door: Door, *, resumed: bool) -> None:
        self._stream = PcmStream(pcm, door)
        self._resumed = resumed

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete after `finish`."""
        return self._stream.warnings

    def push(self, data: bytes) -> Floats:
        """The samples that `data` completes."""
        return self._stream.push(data)

    def finish(self) -> Floats:
        """The last samples; raises AudioTooShort for a stream shorter than a frame."""
        try:
            return self._stream.finish()
        except (AudioEmpty, AudioTooShort):
            if not self._resumed:
                raise
            return np.empty(0, np.float32)
