"""Changes in the mel domain keep what they must."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import features
from embedsvc.training.augmentation import (
    FLOOR,
    Chances,
    augment,
    mask_bins,
    normalize,
    spans,
)

NONE = Chances(
    vocal_tract=0, equalizer=0, tremolo=0, reverberation=0, noise=0, babble=0, band=0, high_pass=0,
    squash=0, masked_bins=0,
)  # fmt: skip
ALL = Chances(1, 1, 1, 1, 1, 1, 0.0, 1, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(batch: int = 3, frames: int = 100) -> torch.Tensor:
    return torch.randn((batch, frames, 80), generator=generator(7)) * 2 - 6


def test_with_no_chance_nothing_changes() -> None:
    mel = speech()
    torch.testing.assert_close(augment(mel, NONE, generator()), mel, atol=2e-4, rtol=0)
    stacked = normalize(mel)
    assert torch.equal(mask_bins(stacked, NONE, generator()), stacked)


@given(st.integers(0, 10_000), st.integers(2, 120), st.sampled_from([Chances(), ALL]))
@settings(max_examples=15, deadline=None)
def test_whatever_is_drawn_is_speech_of_the_same_shape(
    seed: int, frames: int, chances: Chances
) -> None:
    mel = augment(speech(2, 2 * frames), chances, generator(seed))
    assert mel.shape == (2, 2 * frames, 80)
    assert mel.isfinite().all()
    assert float(mel.min()) >= FLOOR - 1e-3


def test_silence_can_be_augmented() -> None:
    mel = torch.full((2, 60, 80), FLOOR)
    assert normalize(augment(mel, ALL, generator())).isfinite().all()


def test_the_same_seed_gives_the_same_sound() -> None:
    first, second = (augment(speech(), Chances(), generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, augment(speech(), Chances(), generator(4)))


def test_noise_is_as_loud_as_it_is_drawn() -> None:
    chances = replace(NONE, noise=1, loudest_noise_db=8)
    mel = speech(64)
    added = augment(mel, chances, generator()).exp() - mel.exp()
    ratios = 10 * torch.log10(mel.exp().mean((1, 2)) / added.mean((1, 2)))
    assert 7.5 < float(ratios.min()) < float(ratios.max()) < 40.5


def test_features_are_normalized_as_the_service_does() -> None:
    random = np.random.default_rng(1)
    samples = random.normal(0, 0.1, 16_000 * 2 + 400).astype(np.float32)
    from embedsvc.audio import log_mel

    mel = log_mel(samples)[:200]
    ours = normalize(torch.from_numpy(mel)[None])[0].numpy()
    np.testing.assert_allclose(ours, features(samples[: 199 * 160 + 400]).features, atol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_about_the_wished_share_of_frames_is_hidden(share: float) -> None:
    hidden = spans((200, 150), share, 12, generator(), torch.device("cpu"))
    assert share * 0.6 < float(hidden.float().mean()) < share * 1.3
