from pathlib import Path

import numpy as np

from embedsvc.evaluation.speech import Row
from tests.evaluation.made import clips_of

ROWS = [
    Row("set", Path(str(at)), "dev", code, "", "", "", 1.0, "", "")
    for at, code in enumerate(["por-BR", "deu", "por"])
]


def test_what_is_wanted_keeps_its_order_and_vectors() -> None:
    clips = clips_of(ROWS)
    portuguese = clips.where(lambda row: row.language == "por")
    assert portuguese.rows == (ROWS[0], ROWS[2])
    np.testing.assert_array_equal(portuguese.states, clips.states[[0, 2]])
    np.testing.assert_array_equal(portuguese.default, clips.default[[0, 2]])
    assert portuguese.languages.tolist() == ["por", "por"]
    assert portuguese.column(lambda row: row.locale).tolist() == ["por-BR", "por"]
    assert len(clips.take([])) == 0


def test_the_weak_baseline_is_the_first_half_of_the_strong_one() -> None:
    features = clips_of(ROWS).features()
    assert list(features) == ["layer 0", "default", "mfcc", "mfcc_delta"]
    np.testing.assert_array_equal(features["mfcc"], features["mfcc_delta"][:, :6])
