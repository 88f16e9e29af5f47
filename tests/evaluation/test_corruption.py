import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.evaluation.corruption import Babble, White, conditions, mixed, telephone
from embedsvc.types import Floats


@pytest.fixture(scope="module")
def speech() -> Floats:
    """A chord that comes and goes."""
    time = np.arange(24_000) / 16_000
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (150, 900, 2_000, 5_000))
    return (0.1 * tones * (1 + np.sin(8 * time))).astype(np.float32)


def power(samples: Floats, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(spectrum[(hertz >= low) & (hertz < high)].sum())


def test_every_condition_keeps_length_and_range_and_is_the_same_each_time(speech: Floats) -> None:
    for name, corruption in conditions([speech, speech[::-1].copy()]).items():
        first, second = (corruption(speech, np.random.default_rng(1)) for _ in range(2))
        assert first.shape == speech.shape
        assert first.dtype == np.float32
        assert np.abs(first).max() <= 1
        np.testing.assert_array_equal(first, second, err_msg=name)
        assert np.abs(first - speech).max() > 0.001


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([0, 10, 20]), st.floats(1e-4, 1))
def test_noise_is_as_loud_as_said(decibels: int, loudness: float) -> None:
    random = np.random.default_rng(0)
    samples = (loudness * 0.1 * random.standard_normal(8_000)).astype(np.float32)
    noise = random.standard_normal(8_000).astype(np.float32)
    added = mixed(samples, noise, decibels) - samples
    ratio = 10 * np.log10(np.mean(samples**2) / np.mean(added**2))
    assert ratio == pytest.approx(decibels, abs=0.1)


def test_silence_stays_finite() -> None:
    silence = np.zeros(4_000, np.float32)
    for corruption in (White(0), Babble(0, [silence])):
        assert np.isfinite(corruption(silence, np.random.default_rng(0))).all()


def test_a_telephone_passes_its_band_alone(speech: Floats) -> None:
    heard = telephone(speech, np.random.default_rng(0))
    assert power(heard, 800, 1_000) > 0.5 * power(speech, 800, 1_000)
    for low, high in ((100, 200), (4_900, 5_100)):
        assert power(heard, low, high) < 0.05 * power(speech, low, high)


def test_even_the_shortest_clip_passes() -> None:
    short = np.full(600, 0.1, np.float32)
    for corruption in conditions([short]).values():
        assert corruption(short, np.random.default_rng(0)).shape == short.shape
