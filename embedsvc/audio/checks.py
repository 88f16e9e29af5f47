"""What is odd about audio that is nevertheless accepted, gathered block by block."""

from typing import TYPE_CHECKING

import numpy as np

from embedsvc.audio.speech import SILENCE_DBFS, active
from embedsvc.timing import FRAME, SAMPLE_RATE, to_seconds
from embedsvc.types import AudioWarning, ChannelPolicy, Floats, WarningCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL_SCALE = 1 - 2.0**-15
"""The largest positive 16-bit sample; a converter that clips stays there."""

CLIPPED_SHARE = 1e-3
"""Share of clipped samples from which listeners, and embeddings, begin to notice."""

SILENT_SHARE = 0.9
"""Share of silent frames from which the vector describes the silence."""

SHORT_SAMPLES = SAMPLE_RATE // 2
"""About one word; shorter utterances say little of their language or speaker."""


class Checks:
    """Running counts over one utterance, from which its warnings follow."""

    def __init__(self) -> None:
        self._values = 0
        self._clipped = 0
        self._runs = 0
        self._last: NDArray[np.bool_] | None = None
        self._length = 0
        self._frames = 0
        self._active = 0
        self._rest = np.empty(0, np.float32)

    def source(self, block: Floats) -> None:
        """Count clipping in a block (n, channels) as it was recorded.

        One sample at full scale may be a peak that just fits; two in a row are a plateau.
        """
        self._values += block.size
        full = np.abs(block) >= FULL_SCALE
        if self._last is None:
            self._last = np.zeros((2, block.shape[1]), np.bool_)
        flags = np.concatenate((self._last, full))
        self._last = flags[-2:]
        pairs = flags[2:] & flags[1:-1]
        starts = int(np.count_nonzero(pairs & ~flags[:-2]))
        self._clipped += int(np.count_nonzero(pairs)) + starts
        self._runs += starts

    def output(self, samples: Floats) -> None:
        """Count silence in samples (N,) at 16 kHz."""
        self._length += len(samples)
        waiting = np.concatenate((self._rest, samples))
        frames = active(waiting)
        self._frames += len(frames)
        self._active += int(np.count_nonzero(frames))
        self._rest = waiting[len(frames) * FRAME :].copy()

    def warnings(self) -> tuple[AudioWarning, ...]:
        """What the counts say."""
        noticed = []
        clipped = self._clipped / max(self._values, 1)
        if clipped >= CLIPPED_SHARE:
            text = f"{100 * clipped:.2g} % of the samples are clipped, in {self._runs} runs"
            noticed.append(AudioWarning(WarningCode.CLIPPING, text))
        silent = 1 - self._active / max(self._frames, 1)
        if silent >= SILENT_SHARE:
            text = f"{100 * silent:.3g} % of the audio is below {SILENCE_DBFS:g} dBFS"
            noticed.append(AudioWarning(WarningCode.MOSTLY_SILENCE, text))
        if self._length < SHORT_SAMPLES:
            text = (
                f"the audio is {to_seconds(self._length):.3g} s long; "
                f"vectors of less than {to_seconds(SHORT_SAMPLES):g} s are unreliable"
            )
            noticed.append(AudioWarning(WarningCode.VERY_SHORT, text))
        return tuple(noticed)

    @staticmethod
    def resampled(rate: int) -> AudioWarning:
        """The source had another sample rate, in Hz."""
        lost = f"; nothing above {rate / 2:g} Hz was recorded" if rate < SAMPLE_RATE else ""
        text = f"resampled from {rate} to {SAMPLE_RATE} Hz{lost}"
        return AudioWarning(WarningCode.RESAMPLED, text)

    @staticmethod
    def downmixed(channels: int, policy: ChannelPolicy) -> AudioWarning:
        """The source had several channels."""
        first = policy is ChannelPolicy.FIRST
        text = f"channel 1 of {channels} was used" if first else f"mean of {channels} channels"
        return AudioWarning(WarningCode.DOWNMIXED, text)

    @staticmethod
    def truncated(missing: str) -> AudioWarning:
        """Less arrived than promised; `missing` is a clause that says what."""
        return AudioWarning(WarningCode.TRUNCATED, missing)
