import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from embedsvc.audio import features, log_mel
from embedsvc.errors import AudioTooShort
from embedsvc.timing import frame_count, mel_frame_count
from embedsvc.types import Floats

Chirp = Callable[..., Floats]
Reference = Any


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The extractor of transformers, as w2v-BERT 2.0 configures it."""
    transformers = importlib.import_module("transformers")
    return transformers.SeamlessM4TFeatureExtractor(
        feature_size=80, num_mel_bins=80, padding_value=1, sampling_rate=16_000, stride=2
    )


def expected(reference: Reference, samples: Floats) -> Floats:
    output = reference(samples, sampling_rate=16_000, return_tensors="np")
    valid: Floats = output["input_features"][0][output["attention_mask"][0].astype(bool)]
    return valid


def precise(mel: Floats) -> NDArray[np.float64]:
    """Normalization by the book, all in float64."""
    exact: NDArray[np.float64] = mel.astype(np.float64)
    normal = (exact - exact.mean(0)) / np.sqrt(exact.var(0, ddof=1) + 1e-7)
    stacked: NDArray[np.float64] = normal[: len(mel) // 2 * 2].reshape(-1, 160)
    return stacked


def noise(count: int, seed: int = 0, scale: float = 0.1) -> Floats:
    values = scale * np.random.default_rng(seed).standard_normal(count)
    return np.asarray(values, np.float32)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(4_000, 100_000), seed=st.integers(0, 999), scale=st.floats(1e-4, 1.0))
def test_features_of_noise_equal_the_reference(
    reference: Reference, count: int, seed: int, scale: float
) -> None:
    samples = noise(count, seed, scale)
    mine = features(samples).features
    assert mine.shape == (frame_count(count), 160)
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine, expected(reference, samples), atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [16_000, 16_160, 48_000, 48_159, 200_000])
def test_features_of_a_chirp_equal_the_reference(
    reference: Reference, chirp: Chirp, count: int
) -> None:
    samples = chirp(count / 16_000)
    mine = features(samples).features
    np.testing.assert_allclose(mine, expected(reference, samples), atol=1e-4, rtol=0)


def test_features_of_half_silence_equal_the_reference(reference: Reference) -> None:
    samples = np.concatenate((np.zeros(32_000, np.float32), noise(16_000)))
    mine = features(samples).features
    np.testing.assert_allclose(mine, expected(reference, samples), atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [560, 719, 720, 880, 1_000])
def test_the_shortest_utterances_are_normalized_by_the_book(
    reference: Reference, count: int
) -> None:
    # With two or three values per bin the float32 statistics of the reference lose digits.
    samples = noise(count)
    mel = reference._extract_fbank_features(samples)
    mine = features(samples).features
    np.testing.assert_allclose(mine, expected(reference, samples), atol=5e-3, rtol=0)
    np.testing.assert_allclose(mine, precise(log_mel(samples)), atol=1e-6, rtol=0)
    np.testing.assert_allclose(log_mel(samples), mel, atol=1e-4, rtol=0)


def test_digital_silence_is_zero_as_it_is_without_rounding(reference: Reference) -> None:
    samples = np.zeros(16_000, np.float32)
    np.testing.assert_allclose(features(samples).features, 0.0, atol=1e-5)
    np.testing.assert_allclose(expected(reference, samples), 0.0, atol=5e-3)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 50_000), seed=st.integers(0, 999))
def test_log_mel_equals_the_reference(reference: Reference, count: int, seed: int) -> None:
    samples = noise(count, seed)
    mel = log_mel(samples)
    assert mel.shape == (mel_frame_count(count), 80)
    if count >= 400:
        reference_mel = reference._extract_fbank_features(samples)
        np.testing.assert_allclose(mel, reference_mel, atol=1e-4, rtol=0)


def test_the_odd_mel_frame_counts_for_the_statistics(reference: Reference) -> None:
    samples = noise(16_000 + 160)
    samples[-300:] *= 100
    assert mel_frame_count(len(samples)) % 2 == 1
    np.testing.assert_allclose(
        features(samples).features, expected(reference, samples), atol=1e-4, rtol=0
    )


def test_the_blocks_do_not_show() -> None:
    samples = noise(160 * 600)
    whole, part = log_mel(samples), log_mel(samples[160 * 100 :])
    np.testing.assert_allclose(whole[100:], part, atol=1e-5, rtol=0)


def test_large_float_samples_are_finite() -> None:
    assert np.isfinite(features(noise(16_000, scale=1e30)).features).all()


def test_less_than_one_frame_is_too_short() -> None:
    with pytest.raises(AudioTooShort):
        features(noise(559))
