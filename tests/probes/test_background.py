import hashlib

import numpy as np

from embedsvc.probes.background import other_sounds, sounds


def digest(seed: int) -> str:
    hashed = hashlib.sha256()
    for _, wave in sounds(seed):
        hashed.update(wave[:1600].tobytes())
    return hashed.hexdigest()


def test_sounds_are_short_finite_and_not_louder_than_full_scale() -> None:
    for make in (sounds, other_sounds):
        clips = list(make(1))
        assert 150 <= len(clips) <= 220
        for _, wave in clips:
            assert wave.dtype == np.float32
            assert 16_000 <= len(wave) <= 8 * 16_000
            assert np.abs(wave).max() <= 0.91


def test_kinds_follow_each_other_and_the_two_families_share_none() -> None:
    ours = [kind for kind, _ in sounds(1)]
    others = {kind for kind, _ in other_sounds(1)}
    changes = sum(a != b for a, b in zip(ours, ours[1:], strict=False))
    assert changes + 1 == len(set(ours))
    assert not others & set(ours)
    assert min(len(set(ours)), len(others)) >= 12


def test_the_same_seed_makes_the_same_sounds() -> None:
    assert digest(1) == digest(1)
    assert digest(1) != digest(2)
