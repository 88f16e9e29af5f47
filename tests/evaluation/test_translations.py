from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedsvc.evaluation import translations
from embedsvc.evaluation.speech import SYNTHETIC, Row
from tests.evaluation.made import clips_of


def rows_of(language: str, count: int) -> list[Row]:
    return [
        Row(
            SYNTHETIC,
            Path(f"{language}{at}"),
            "dev",
            language,
            "v",
            "parallel",
            "",
            1.0,
            str(at),
            "",
        )
        for at in range(count)
    ]


def test_sentences_are_found_in_spite_of_what_is_of_a_language() -> None:
    rows = [*rows_of("spa", 8), *rows_of("por", 9), *rows_of("hin", 3)]
    meaning = np.eye(9, dtype=np.float32)[[int(row.group) for row in rows]]
    accent = np.array([[{"spa": 50, "por": -50, "hin": 0}[row.language]] for row in rows])
    vectors = np.concatenate([meaning, accent], axis=1).astype(np.float32)
    pair, mean = translations.measure(clips_of(rows, vectors))
    assert (pair.name, mean.name) == ("spa-por", "related pairs")
    assert pair.values["layer 0"] == pair.values["default"] == 1
    assert pair.chance == pytest.approx(1 / 8)
    assert pair.counts["queries"] == 16
    assert mean.values == pair.values
    assert mean.counts["pairs"] == 1


def test_both_directions_count_alike() -> None:
    rows = [*rows_of("eng", 6), *rows_of("deu", 6)]
    random = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    (one,) = translations.measure(clips_of(rows, random))
    (other,) = translations.measure(clips_of(rows[6:] + rows[:6], np.roll(random, 6, axis=0)))
    assert one.name == other.name == "eng-deu"
    for kind, value in one.values.items():
        assert other.values[kind] == pytest.approx(value)


def test_clips_of_no_group_are_not_taken_for_the_same_sentence() -> None:
    rows = [*rows_of("spa", 6), *rows_of("por", 6)]
    rows += [replace(row, group="") for row in rows]
    random = np.random.default_rng(0).standard_normal((24, 5)).astype(np.float32)
    pair, _ = translations.measure(clips_of(rows, random))
    assert pair.counts["queries"] == 12
    assert pair.chance == pytest.approx(1 / 6)
