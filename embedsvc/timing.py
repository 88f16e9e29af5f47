"""Exact arithmetic between samples, frames and seconds.

A mel frame is 25 ms every 10 ms; the encoder reads them two at a time, so one
encoder frame is 20 ms. Time is an integer number of 16 kHz samples until it is
shown; all rounding in the package happens here.
"""

SAMPLE_RATE = 16_000
"""Samples a second past the door."""

WINDOW = 400
"""Samples in one mel frame (25 ms)."""

HOP = 160
"""Samples between mel frames (10 ms)."""

STRIDE = 2
"""Mel frames in one encoder frame."""

FRAME = HOP * STRIDE
"""Samples between encoder frames (20 ms)."""

FRAME_RATE = SAMPLE_RATE / FRAME
"""Encoder frames a second (50)."""

MIN_SAMPLES = WINDOW + HOP
"""The shortest utterance with one encoder frame (35 ms).

Between 400 and 559 samples there is one mel frame, half an encoder frame, whose
variance is undefined.
"""


def mel_frame_count(samples: int) -> int:
    """Whole analysis windows in `samples` samples.

    >>> mel_frame_count(WINDOW - 1), mel_frame_count(WINDOW), mel_frame_count(16_000)
    (0, 1, 98)
    """
    return 0 if samples < WINDOW else 1 + (samples - WINDOW) // HOP


def frame_count(samples: int) -> int:
    """Encoder frames in an utterance of `samples` samples; an odd mel frame is dropped.

    >>> frame_count(MIN_SAMPLES - 1), frame_count(MIN_SAMPLES), frame_count(16_000)
    (0, 1, 49)
    """
    return mel_frame_count(samples) // STRIDE


def to_samples(seconds: float) -> int:
    """The sample nearest to `seconds`.

    >>> to_samples(0.02)
    320
    """
    return round(seconds * SAMPLE_RATE)


def to_seconds(samples: int) -> float:
    """Seconds from the start to `samples`.

    >>> to_seconds(FRAME)
    0.02
    """
    return samples / SAMPLE_RATE
