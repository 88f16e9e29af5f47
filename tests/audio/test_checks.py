import numpy as np

from embedsvc.audio.checks import Checks
from embedsvc.types import AudioWarning, Floats, WarningCode


def noticed(sound: Floats, size: int) -> tuple[AudioWarning, ...]:
    checks = Checks()
    for first in range(0, len(sound), size):
        checks.source(sound[first : first + size, None])
        checks.output(sound[first : first + size])
    return checks.warnings()


def test_a_single_peak_at_full_scale_is_not_clipping() -> None:
    sound = np.full(16_000, 0.1, np.float32)
    sound[::100] = 1.0
    assert noticed(sound, 16_000) == ()


def test_runs_are_counted_the_same_across_blocks() -> None:
    sound = np.full(16_000, 0.1, np.float32)
    sound[1_000:1_010] = -1.0
    sound[1_010:1_030] = 1 - 2.0**-15
    sound[9_000:9_002] = 1.5
    whole = noticed(sound, 16_000)
    assert [warning.code for warning in whole] == [WarningCode.CLIPPING]
    assert "0.2 %" in whole[0].message
    assert "2 runs" in whole[0].message
    for size in (1, 2, 3, 1_005, 4_096):
        assert noticed(sound, size) == whole


def test_silence_is_noticed_when_it_is_nine_tenths() -> None:
    sound = np.zeros(16_000, np.float32)
    sound[: 6 * 320] = 0.1
    assert noticed(sound, 1_000) == ()
    sound[3 * 320 :] = 1e-4
    (warning,) = noticed(sound, 1_000)
    assert warning.code is WarningCode.MOSTLY_SILENCE
    assert "94 %" in warning.message
