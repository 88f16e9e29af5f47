"""What a line, a room or a codec does to speech, made in the waveform."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfiltfilt

from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Floats

CROWD = 6
"""Voices that talk at once in babble."""

TELEPHONE_RATE = 8_000
TELEPHONE_BAND = (300.0, 3_400.0)
OPUS_BITS_PER_SECOND = 12_000
_OPUS_RATES = (6_000, 256_000)
"""What libsndfile makes of compression levels 1 and 0, for one channel."""

_MU = 255.0

Corruption = Callable[[Floats, np.random.Generator], Floats]


@dataclass(frozen=True)
class White:
    """White noise, at a ratio of powers in decibels."""

    decibels: float

    def __call__(self, samples: Floats, random: np.random.Generator) -> Floats:
        """Samples (N,) with noise."""
        noise = random.standard_normal(len(samples), dtype=np.float32)
        return mixed(samples, noise, self.decibels)


@dataclass(frozen=True)
class Babble:
    """Several of `voices` at once, at a ratio of powers in decibels."""

    decibels: float
    voices: Sequence[Floats]

    def __call__(self, samples: Floats, random: np.random.Generator) -> Floats:
        """Samples (N,) with babble."""
        crowd = np.zeros(len(samples), np.float32)
        for place in random.integers(len(self.voices), size=CROWD):
            voice = self.voices[place]
            begin = int(random.integers(len(voice)))
            turned = np.resize(np.roll(voice, -begin), len(samples))
            crowd += turned / np.float32(max(float(np.sqrt(np.mean(voice**2))), 1e-6))
        return mixed(samples, crowd, self.decibels)


def mixed(samples: Floats, noise: Floats, decibels: float) -> Floats:
    """Samples (N,) with `noise` (N,) so much weaker; made quieter where they would clip."""
    power, other = float(np.mean(samples**2)), float(np.mean(noise**2))
    gain = np.sqrt(power / max(other, 1e-12) * 10 ** (-decibels / 10))
    total = samples + np.float32(gain) * noise
    return (total / max(1.0, float(np.abs(total).max(initial=0)))).astype(np.float32)


def telephone(samples: Floats, _: np.random.Generator) -> Floats:
    """Samples (N,) through a line: 300 to 3,400 Hz, 8 kHz and 8 bits of mu-law (ITU-T G.711)."""
    narrow = soxr.resample(samples, SAMPLE_RATE, TELEPHONE_RATE).astype(np.float64)
    band = butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")
    # A filter that goes both ways needs a few samples to turn around on.
    narrow = sosfiltfilt(band, narrow, padlen=min(60, len(narrow) - 1))
    narrow = np.clip(narrow, -1, 1)
    pressed = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    steps = np.round((pressed + 1) / 2 * _MU) / _MU * 2 - 1
    restored = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU
    return _as_long(
        soxr.resample(restored.astype(np.float32), TELEPHONE_RATE, SAMPLE_RATE), samples
    )


def opus(samples: Floats, _: np.random.Generator) -> Floats:
    """Samples (N,) through an Opus coder at 12 kbit/s."""
    low, high = _OPUS_RATES
    level = 1 - (OPUS_BITS_PER_SECOND - low) / (high - low)
    file = io.BytesIO()
    soundfile.write(
        file, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=level
    )
    file.seek(0)
    decoded, _rate = soundfile.read(file, dtype="float32")
    return _as_long(decoded, samples)


def conditions(voices: Sequence[Floats]) -> dict[str, Corruption]:
    """Everything that is tried, by name."""
    noises: dict[str, Corruption] = {}
    for decibels in (20, 10, 0):
        noises[f"white noise, {decibels} dB"] = White(decibels)
    for decibels in (20, 10, 0):
        noises[f"babble, {decibels} dB"] = Babble(decibels, voices)
    return {**noises, "telephone": telephone, "Opus, 12 kbit/s": opus}


def _as_long(samples: Floats, as_these: Floats) -> Floats:
    kept = samples[: len(as_these)].astype(np.float32)
    return np.pad(kept, (0, len(as_these) - len(kept)))
