"""What the encoder hears: normalized log-mel energies, two mel frames in a row.

The numbers are those of the feature extractor w2v-BERT 2.0 was trained with (Seamless
Communication, 2023), itself the Kaldi filter bank: Povey et al., "The Kaldi Speech Recognition
Toolkit", 2011. All sums are in float64, because float32 Fourier transforms move quiet bins.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from embedsvc.errors import AudioTooShort
from embedsvc.timing import (
    HOP,
    MIN_SAMPLES,
    SAMPLE_RATE,
    STRIDE,
    WINDOW,
    mel_frame_count,
    to_seconds,
)
from embedsvc.types import Floats, Frames

Doubles = NDArray[np.float64]

MEL_BINS = 80
_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_SCALE = 2.0**15
"""Kaldi computes on 16-bit integers."""

_FLOOR = 2.0**-23
"""Smallest mel energy, the float32 epsilon 1.192092955078125e-07."""

_EPSILON = 1e-7
_BLOCK = 256
"""Mel frames computed at once: about 1 MB in each of two buffers, which stays in the cache."""

_ROWS = 8
"""Rows of one matrix product. A larger one wakes the threads of the linear algebra library, which
costs thirty times the product when the cores are busy.
"""


def features(samples: Floats) -> Frames:
    """Features (T, 160) of an utterance (N,); raises AudioTooShort for less than one frame."""
    return stacked(log_mel(long_enough(samples)))


def long_enough(samples: Floats) -> Floats:
    """`samples` (N,) as they are; raises AudioTooShort for less than one frame."""
    if len(samples) < MIN_SAMPLES:
        raise AudioTooShort(
            f"`audio` must be at least {to_seconds(MIN_SAMPLES):g} s, "
            f"but is {to_seconds(len(samples)):g} s",
            field="audio",
            minimum_seconds=to_seconds(MIN_SAMPLES),
            seconds=to_seconds(len(samples)),
        )
    return samples


def stacked(mel: Floats) -> Frames:
    """Features (T, 160) of at least two mel frames (T_mel, 80) by twos, each bin normalized.

    A bin has mean 0 and variance 1 over the utterance. An odd mel frame counts for these, and is
    then dropped.
    """
    mean = mel.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(mel.var(axis=0, ddof=1, dtype=np.float64) + _EPSILON)
    count = len(mel) // STRIDE
    normal = ((mel[: count * STRIDE] - mean) / spread).astype(np.float32)
    return Frames(normal.reshape(count, STRIDE * MEL_BINS))


def log_mel(samples: Floats) -> Floats:
    """Natural logarithm of the mel energies (T_mel, 80), not normalized; empty below 25 ms."""
    count = mel_frame_count(len(samples))
    result = np.empty((count, MEL_BINS), np.float32)
    padded: Doubles = np.zeros((_BLOCK, _FFT))
    for first in range(0, count, _BLOCK):
        last = min(first + _BLOCK, count)
        part = samples[first * HOP : (last - 1) * HOP + WINDOW]
        _taper_windows(part, padded[: last - first, :WINDOW])
        rows = -(-(last - first) // _ROWS) * _ROWS
        result[first:last] = _energies(padded[:rows])[: last - first]
    return result


def _taper_windows(samples: Floats, out: Doubles) -> None:
    """Fill `out` (T, 400) with the tapered windows of samples."""
    wave = samples.astype(np.float64)
    mean = _windows(wave, len(out)).mean(axis=1, keepdims=True)
    wave[1:] -= _PREEMPHASIS * wave[:-1]
    # Emphasis of a wave less its mean is emphasis of the wave less (1 - 0.97) of the mean. The
    # first sample of a window is an exception that does not matter: the taper is 0 there.
    np.subtract(_windows(wave, len(out)), (1 - _PREEMPHASIS) * mean, out=out)
    out *= _TAPER


def _energies(padded: Doubles) -> Doubles:
    """Log-mel energies (T, 80) of windows (T, 512), T a multiple of 8."""
    spectrum = np.fft.rfft(padded)
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    energies: Doubles = power.reshape(-1, _ROWS, power.shape[1]) @ _MEL
    energies = energies.reshape(-1, MEL_BINS)
    return np.log(np.maximum(energies, _FLOOR, out=energies), out=energies)


def _windows(wave: Doubles, count: int) -> Doubles:
    step = wave.strides[0]
    return as_strided(wave, (count, WINDOW), (HOP * step, step), writeable=False)


def _mel(hertz: Doubles) -> Doubles:
    """Mel of a frequency, O'Shaughnessy's formula as in Kaldi."""
    mel: Doubles = 1127.0 * np.log1p(hertz / 700.0)
    return mel


def _mel_filters() -> Doubles:
    """Triangles (257, 80) of equal width on the mel scale, and straight on it."""
    frequencies = _mel(np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1))[:, None]
    lowest, highest = _mel(np.array([_LOWEST_HZ, SAMPLE_RATE / 2]))
    edges = np.linspace(lowest, highest, MEL_BINS + 2)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    filters: Doubles = np.maximum(np.minimum(rising, falling), 0.0)
    return filters


def _taper() -> Doubles:
    """Povey's window (400,): a Hann window to the power 0.85, so as to reach 0 at both ends."""
    phase = np.arange(WINDOW) / (WINDOW - 1)
    return np.power(0.5 - 0.5 * np.cos(2 * np.pi * phase), 0.85, dtype=np.float64)


_MEL = _mel_filters()
_TAPER = _SCALE * _taper()
