from pathlib import Path

import numpy as np
import pytest

from embedsvc.evaluation import same_content
from embedsvc.evaluation.embedding import Pass
from embedsvc.evaluation.same_content import Question, hits, standardized, truth_of, unit
from embedsvc.evaluation.speech import Row
from tests.evaluation.made import clips_of

OTHER = Question("other speaker", lambda _: True, lambda row: row.speaker)


def row(number: int, group: str, speaker: str) -> Row:
    return Row("set", Path(str(number)), "dev", "eng", speaker, "", "", 1.0, group, "")


def test_only_what_another_speaker_says_is_right() -> None:
    clips = clips_of([row(0, "g", "a"), row(1, "g", "a"), row(2, "g", "b"), row(3, "h", "b")])
    truth = truth_of(clips, OTHER)
    assert truth.queries.tolist() == [0, 1, 2]
    assert truth.allowed.tolist() == [[False, False, True, True]] * 2 + [[True, True, False, False]]
    assert truth.relevant.tolist() == [[False, False, True, False]] * 2 + [
        [True, True, False, False]
    ]
    assert truth.chance[1] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert truth.chance[10] == 1


def test_hits_agree_with_sorting() -> None:
    random = np.random.default_rng(0)
    rows = [row(at, str(random.integers(12)), str(random.integers(3))) for at in range(80)]
    truth = truth_of(clips_of(rows), OTHER)
    vectors = unit(random.standard_normal((80, 4)).astype(np.float32))
    found = {1: 0, 10: 0}
    for at, query in enumerate(truth.queries):
        scores = np.where(truth.allowed[at], vectors @ vectors[query], -2)
        order = np.argsort(-scores)
        for depth in found:
            found[depth] += bool(truth.relevant[at][order[:depth]].any())
    asked = len(truth.queries)
    assert hits(vectors, truth) == {depth: count / asked for depth, count in found.items()}


def test_standardized_vectors_have_no_mean_and_length_1() -> None:
    vectors = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    moved = standardized(vectors)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)
    assert abs(moved.mean()) < 0.1


def test_questions_that_clips_can_answer_are_measured(passed: Pass) -> None:
    measures = list(same_content.measure(passed.clips))
    assert {measure.name for measure in measures} == {
        "EmoDB, other speaker",
        "GCompris, other language",
    }
    for measure in measures:
        assert set(measure.values) == {
            *(f"layer {at}" for at in range(4)),
            "default",
            "mfcc",
            "mfcc_delta",
        }
        assert all(0 <= value <= 1 for value in measure.values.values())
        assert measure.chance is not None
        assert measure.counts["queries"] > 20


def test_vectors_that_know_the_group_find_everything() -> None:
    rows = [
        Row("emo_emodb", Path(str(at)), "dev", "deu", str(at // 5), "", "", 1.0, str(at % 5), "")
        for at in range(25)
    ]
    groups = np.eye(5, dtype=np.float32)[[at % 5 for at in range(25)]]
    clips = clips_of(rows, groups)
    first, tenth = same_content.measure(clips)
    assert first.values["layer 0"] == tenth.values["layer 0"] == 1
