"""Sounds made on the spot, so that no test needs a file from elsewhere."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from embedsvc.types import Floats

Encode = Callable[..., bytes]
Chirp = Callable[..., Floats]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Sound file bytes of samples (N,) or (N, channels)."""

    def encode(
        samples: Floats, rate: int, container: str = "WAV", codec: str | None = None
    ) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=container, subtype=codec)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def chirp() -> Chirp:
    """A rising tone with a little noise, which no codec refuses."""

    def chirp(seconds: float = 1.0, rate: int = 16_000, seed: int = 0) -> Floats:
        time = np.arange(round(seconds * rate)) / rate
        noise = np.random.default_rng(seed).standard_normal(len(time))
        tone = np.sin(2 * np.pi * (200 + 300 * time) * time)
        return np.asarray(0.3 * tone + 0.01 * noise, np.float32)

    return chirp
