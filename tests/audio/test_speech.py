import numpy as np
import pytest

from embedsvc.audio import active, active_share
from embedsvc.types import Span


def test_the_share_counts_whole_frames_in_the_span() -> None:
    sound = np.zeros(320 * 10 + 100, np.float32)
    sound[320 * 4 : 320 * 6] = 0.01
    assert active(sound).tolist() == [False] * 4 + [True] * 2 + [False] * 4
    assert active_share(sound) == pytest.approx(0.2)
    assert active_share(sound, Span(320 * 4, 320 * 8)) == pytest.approx(0.5)


def test_less_than_a_frame_has_no_activity() -> None:
    assert active_share(np.ones(319, np.float32)) == 0.0


def test_the_threshold_is_60_db_below_full_scale() -> None:
    assert active(np.full(320, 1.01e-3, np.float32)).all()
    assert not active(np.full(320, 0.99e-3, np.float32)).any()


def test_enormous_samples_are_no_overflow() -> None:
    assert active(np.full(320, 3e38, np.float32)).all()
