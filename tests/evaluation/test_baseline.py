import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.evaluation import mfcc_delta_vector, mfcc_vector
from embedsvc.types import Floats


def log_mel(frames: int, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).normal(8, 3, (frames, 80))
    return rows.astype(np.float32)


@pytest.mark.slow  # the first import of librosa takes half a minute
def test_the_cepstra_are_those_of_librosa() -> None:
    librosa = importlib.import_module("librosa")
    mel = log_mel(120)
    cepstra = librosa.feature.mfcc(S=mel.T.astype(np.float64), n_mfcc=20)
    expected = np.concatenate([cepstra.mean(axis=1), cepstra.std(axis=1)])
    np.testing.assert_allclose(mfcc_vector(mel), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 50), seed=st.integers(0, 99))
def test_the_cepstra_are_the_orthonormal_cosine_transform(frames: int, seed: int) -> None:
    mel = log_mel(frames, seed)
    bins, order = np.arange(80), np.arange(20)[:, None]
    basis = np.sqrt(2 / 80) * np.cos(np.pi * order * (2 * bins + 1) / 160)
    basis[0] /= np.sqrt(2)
    cepstra = mel.astype(np.float64) @ basis.T
    expected = np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0)])
    np.testing.assert_allclose(mfcc_vector(mel), expected, rtol=1e-4, atol=1e-4)


def test_a_vector_is_20_means_and_20_deviations_in_float32() -> None:
    vector = mfcc_vector(np.ones((7, 80), np.float32))
    assert vector.shape == (40,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [np.sqrt(80), *[0] * 39], atol=1e-5)


def test_loudness_changes_the_first_coefficient_only() -> None:
    mel = log_mel(60)
    change = mfcc_vector(mel + np.float32(2)) - mfcc_vector(mel)
    np.testing.assert_allclose(change, [2 * np.sqrt(80), *[0] * 39], atol=1e-4)


def test_changes_follow_the_mean_and_deviation() -> None:
    log_mel = np.random.default_rng(0).standard_normal((30, 80)).astype(np.float32)
    vector = mfcc_delta_vector(log_mel)
    assert vector.shape == (80,)
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector[:40], mfcc_vector(log_mel))
    steady = mfcc_delta_vector(np.repeat(log_mel[:1], 5, axis=0))
    np.testing.assert_allclose(steady[20:], 0, atol=1e-6)
    assert mfcc_delta_vector(log_mel[:1]).shape == (80,)
