"""What a synthesizer said becomes what a model trains on: log-mel of one loudness, and phones."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import soxr
from numpy.typing import NDArray

from embedsvc.audio import log_mel
from embedsvc.timing import HOP, SAMPLE_RATE, WINDOW
from embedsvc.training.espeak import Spoken, is_switched
from embedsvc.training.phones import Timed, timed
from embedsvc.training.utterances import Utterance
from embedsvc.types import Floats

Halves = NDArray[np.float16]

PEAK = 0.5
AUDIBLE = 0.004
"""Samples at least this large are speech; what is before and after all of them is silence."""

SECONDS = (0.35, 6.4)
"""Shortest and longest utterance that is kept."""

MOST_PHONES_A_LETTER = 2.0
"""A word with more is spelled out letter by letter."""

_LAST_ALPHABETIC = "\u0587"
"""Latin, Greek, Cyrillic and Armenian letters, which stand for a sound each, come before."""

_LEAST_LETTERS = 4


class Fault(StrEnum):
    """Why an utterance is not kept."""

    SILENT = "silent"
    SWITCHED = "read as another language"
    SPELLED = "spelled out"
    LENGTH = "too short or too long"


@dataclass(frozen=True)
class Sound:
    """Samples (N,) at 16 kHz, and phones with the log-mel frame where each begins."""

    samples: Floats
    phones: Timed

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def features(self) -> Halves:
        """Log-mel (T, 80)."""
        return log_mel(self.samples).astype(np.float16)


def render(
    spoken: Spoken, utterance: Utterance, language: str, seconds: tuple[float, float] = SECONDS
) -> Sound | Fault:
    """The sound of an utterance with phones, or why it is not fit to train on."""
    if is_switched(spoken):
        return Fault.SWITCHED
    resampled: Floats = soxr.resample(
        spoken.samples.astype(np.float32) / 2**15, spoken.sample_rate, SAMPLE_RATE, quality="LQ"
    )
    loud = np.flatnonzero(np.abs(resampled) > AUDIBLE)
    if len(loud) < WINDOW:
        return Fault.SILENT
    first = int(loud[0]) - utterance.lead
    speech = resampled[max(0, first) : int(loud[-1]) + utterance.tail]
    samples: Floats = np.pad(speech, (max(0, -first), 0))
    if not seconds[0] <= len(samples) / SAMPLE_RATE <= seconds[1]:
        return Fault.LENGTH
    phones = _framed(spoken, first, len(samples), language)
    if is_spelled_out(utterance.text, sum(map(bool, phones.phones))):
        return Fault.SPELLED
    samples *= np.float32(PEAK / np.abs(samples).max())
    return Sound(samples, phones)


def is_spelled_out(text: str, phones: int) -> bool:
    """Whether a text has so many phones that its letters were named; numbers are left alone."""
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < _LEAST_LETTERS or any(letter.isdigit() for letter in text):
        return False
    alphabetic = all(letter <= _LAST_ALPHABETIC for letter in letters)
    return alphabetic and phones > MOST_PHONES_A_LETTER * len(letters)


def frame_at(sample: float, frames: int) -> int:
    """The log-mel frame whose middle is nearest to a sample, among `frames` and their end."""
    return min(max(0, round((sample - WINDOW / 2) / HOP)), frames)


def _framed(spoken: Spoken, first: int, count: int, language: str) -> Timed:
    """Phones of an utterance that was cut to `count` samples at 16 kHz from `first`."""
    ratio = SAMPLE_RATE / spoken.sample_rate
    frames = 1 + (count - WINDOW) // HOP
    names = [(frame_at(sample * ratio - first, frames), name) for sample, name in spoken.phones]
    return timed(names, frames, language)
