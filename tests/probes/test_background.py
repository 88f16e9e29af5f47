from itertools import islice, pairwise

import numpy as np

from embedsvc.probes.background import other_sounds, sounds

OURS, OTHERS = list(sounds(1)), list(other_sounds(1))


def test_sounds_are_short_finite_and_not_louder_than_full_scale() -> None:
    for clips in (OURS, OTHERS):
        assert 150 <= len(clips) <= 220
        for _, wave in clips:
            assert wave.dtype == np.float32
            assert 16_000 <= len(wave) <= 8 * 16_000
            assert np.abs(wave).max() <= 0.91


def test_kinds_follow_each_other_and_the_two_families_share_none() -> None:
    ours = [kind for kind, _ in OURS]
    others = {kind for kind, _ in OTHERS}
    changes = sum(a != b for a, b in pairwise(ours))
    assert changes + 1 == len(set(ours))
    assert not others & set(ours)
    assert min(len(set(ours)), len(others)) >= 12


def test_the_same_seed_makes_the_same_sounds() -> None:
    for (kind, wave), (_, again) in zip(OURS, islice(sounds(1), 40), strict=False):
        np.testing.assert_array_equal(wave, again, err_msg=kind)
    other = next(sounds(2))[1]
    assert not np.array_equal(other[:9], OURS[0][1][:9])
