import numpy as np
import pytest

from embedsvc.audio.door import Door, Intake
from embedsvc.errors import AudioTooLong
from embedsvc.types import ChannelPolicy


def test_what_is_expected_to_be_too_long_is_refused_before_a_block_is_read() -> None:
    intake = Intake(8_000, 1, Door(max_seconds=2))
    intake.expect(16_000)
    with pytest.raises(AudioTooLong):
        intake.expect(16_001)


def test_the_limit_counts_the_samples_of_the_source() -> None:
    intake = Intake(8_000, 1, Door(max_seconds=2))
    intake.push(np.zeros((16_000, 1), np.float32))
    with pytest.raises(AudioTooLong):
        intake.push(np.zeros((1, 1), np.float32))


def test_a_mean_of_large_values_does_not_overflow() -> None:
    intake = Intake(16_000, 3, Door())
    block = np.full((600, 3), 3e38, np.float32)
    np.testing.assert_allclose(intake.push(block), 3e38, rtol=1e-6)


def test_only_the_channel_that_is_used_counts_as_clipped() -> None:
    block = np.zeros((16_000, 2), np.float32)
    block[:, 0], block[:, 1] = 0.1, 1.0
    first = Intake(16_000, 2, Door(ChannelPolicy.FIRST))
    first.push(block)
    first.finish()
    assert [warning.code for warning in first.warnings()] == ["downmixed"]
