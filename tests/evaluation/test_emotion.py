from pathlib import Path

import numpy as np

from embedsvc.evaluation import emotion
from embedsvc.evaluation.probes import Bench
from embedsvc.evaluation.speech import Row
from tests.evaluation.made import clips_of


def test_emotions_are_told_of_speakers_not_heard_before() -> None:
    rows = [
        Row(
            "emo_nemo",
            Path(str(at)),
            "dev" if at % 6 == 5 else "train",
            "pol",
            f"s{at % 6}",
            "happy" if at % 2 == at // 6 % 2 else "sad",
            "",
            1.0,
            "",
            "nc",
        )
        for at in range(48)
    ]
    random = np.random.default_rng(0)
    vectors = random.standard_normal((48, 6)).astype(np.float32)
    vectors[:, 0] += [6 * (row.label == "happy") for row in rows]
    steps: list[None] = []
    found = {
        (each.name, each.figure): each
        for each in emotion.measure(clips_of(rows, vectors), Bench(2, lambda: steps.append(None)))
    }
    assert {name for name, _ in found} == {
        "nEMO, given split",
        "nEMO, all speakers in turns",
    }
    given = found["nEMO, given split", "UA"]
    assert given.counts == {"clips": 8, "classes": 2, "speakers": 1}
    turns = found["nEMO, all speakers in turns", "macro-F1"]
    assert turns.counts == {"clips": 48, "classes": 2, "speakers": 6}
    assert turns.values["layer 0"] > 0.9
    assert turns.chance == 0.5
    assert len(steps) == 8
