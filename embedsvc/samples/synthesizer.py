"""Speech out of espeak-ng, which must be installed; only what makes data needs it."""

import io
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from embedsvc.errors import AudioEmpty, FailedPrecondition
from embedsvc.timing import SAMPLE_RATE

PEAK = 0.7
"""Largest sample of what is spoken; full scale is 1."""

AUDIBLE = 0.01
"""Samples at least this large are speech; what is before and after all of them is cut."""

MARGIN = SAMPLE_RATE // 10
"""Samples of silence that stay before and after the speech."""


@dataclass(frozen=True)
class Voice:
    """A way of speaking: a variant of espeak-ng, words a minute, and pitch from 0 to 99."""

    variant: str
    rate: int
    pitch: int


def require() -> None:
    """Raise `FailedPrecondition` when espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        raise FailedPrecondition(
            "`espeak-ng` must be installed to make speech, but is not on the path"
        )


def speak(text: str, language: str, voice: Voice) -> NDArray[np.float32]:
    """Sound of `text`: a waveform (N,) at 16 kHz.

    `language` is espeak-ng's name of it. Raises `AudioEmpty` when the voice says nothing.
    """
    spoken = subprocess.run(
        [
            "espeak-ng", "--stdin", "--stdout", "-v", f"{language}+{voice.variant}",
            "-s", str(voice.rate), "-p", str(voice.pitch),
        ],
        input=text.encode(),
        capture_output=True,
        check=True,
    )  # fmt: skip
    resampled = _waveform(spoken.stdout)
    peak = np.abs(resampled).max(initial=0)
    if not peak:
        raise AudioEmpty(
            f"`text` must be something {language}+{voice.variant} says, but is {text!r}",
            field="text",
        )
    scaled: NDArray[np.float32] = resampled * np.float32(PEAK / peak)
    loud = np.flatnonzero(np.abs(scaled) > AUDIBLE)
    return scaled[max(loud[0] - MARGIN, 0) : loud[-1] + MARGIN]


def _waveform(data: bytes) -> NDArray[np.float32]:
    """Samples (N,) at 16 kHz of a sound file; nothing at all is written for an empty text."""
    if not data:
        return np.empty(0, np.float32)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    resampled: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE)
    return resampled
