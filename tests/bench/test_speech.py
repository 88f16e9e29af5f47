import numpy as np
import pytest

from embedsvc.bench import speech
from embedsvc.timing import to_samples


def test_speech_has_the_length_that_was_asked_for_and_goes_on_where_the_last_ended() -> None:
    first, second = speech.of_lengths([1.5, 400.0])
    assert (len(first), len(second)) == (to_samples(1.5), to_samples(400.0))
    (whole,) = speech.of_lengths([401.5])
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert np.abs(whole).max() > 0.1


def test_mixed_lengths_are_spread_over_their_range() -> None:
    found = speech.mixed_lengths(500, 0)
    assert speech.SHORTEST <= min(found) < max(found) <= speech.LONGEST
    assert np.mean(found) == pytest.approx((speech.SHORTEST + speech.LONGEST) / 2, rel=0.1)
    assert found[:5] == speech.mixed_lengths(5, 0) != speech.mixed_lengths(5, 1)
