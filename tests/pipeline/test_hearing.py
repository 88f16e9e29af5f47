"""What a body reads of a window."""

import numpy as np
import pytest

from embedsvc.audio import features, windows
from embedsvc.encoder.ctc import SERVED, Body
from embedsvc.encoder.grid import CONVOLUTIONS
from embedsvc.pipeline.hearing import hear
from embedsvc.timing import FRAME, SAMPLE_RATE
from embedsvc.types import Frames, Samples, Window, Windowing
from tests.encoder.ctc.published import speech

SOUND = speech(5 * SAMPLE_RATE)
WAVE = Body("wave", CONVOLUTIONS, of_samples=True)


@pytest.fixture
def window() -> Window:
    """The second of several: it hears something before its core, and behind it."""
    return windows(SOUND, Windowing(SAMPLE_RATE, SAMPLE_RATE // 4))[1]


def test_an_encoder_of_features_reads_features(window: Window) -> None:
    heard = hear(window, SERVED, sound=False)
    assert isinstance(heard.read, Frames)
    np.testing.assert_array_equal(heard.read.features, features(window.samples).features)
    assert heard.active is None


def test_an_encoder_of_samples_reads_samples_in_its_language(window: Window) -> None:
    heard = hear(window, Body("wave", CONVOLUTIONS, of_samples=True, adapter="spa"), sound=True)
    assert isinstance(heard.read, Samples)
    np.testing.assert_array_equal(heard.read.samples, window.samples)
    assert len(heard.read) == CONVOLUTIONS.count(len(window.samples))
    assert heard.read.language == "spa"
    assert heard.active is not None
    assert len(heard.active) == len(window.core) // FRAME


def test_equal_audio_is_known_by_body_and_language(window: Window) -> None:
    bodies = [
        SERVED,
        Body("own"),
        WAVE,
        Body("other", CONVOLUTIONS, of_samples=True),
        Body("wave", CONVOLUTIONS, of_samples=True, adapter="spa"),
        Body("wave", CONVOLUTIONS, of_samples=True, adapter="eng"),
    ]
    digests = [hear(window, body, sound=False).digest for body in bodies]
    assert len(set(digests)) == len(bodies)
    assert digests == [hear(window, body, sound=True).digest for body in bodies]
