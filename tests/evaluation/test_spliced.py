from dataclasses import replace
from pathlib import Path

import numpy as np

from embedsvc.audio import Door, decode
from embedsvc.evaluation.speech import Row
from embedsvc.evaluation.spliced import (
    OTHER_LANGUAGE,
    OTHER_SPEAKER,
    SAME_SPEAKER,
    Question,
    is_at,
    overlap,
    plan,
    recordings,
)
from embedsvc.samples import clips
from embedsvc.types import Span

RATE = 16_000


def row(name: str, language: str, speaker: str, group: str) -> Row:
    return Row("set", Path(name), "dev", language, speaker, "", "", 1.0, group, "permissive")


ROWS = [
    row("1", "eng", "a", "red"),
    row("2", "eng", "a", "red"),
    row("3", "eng", "b", "red"),
    row("4", "deu", "c", "red"),
    row("5", "deu", "c", "blue"),
    row("6", "deu", "", "blue"),
]


def test_what_is_asked_is_said_again_by_whom_it_should() -> None:
    made = plan(ROWS, each=2)
    assert made.questions
    for question in made.questions:
        assert any(question.wants(other) for other in ROWS if other.group == question.row.group)
    asked = {question.row for question in made.questions}
    assert not asked & set(made.rows)
    assert asked | set(made.rows) == set(ROWS)
    assert plan(ROWS[::-1], each=2) == made


def test_a_question_wants_its_task_alone() -> None:
    wanted = {
        task: [other.path.name for other in ROWS[1:4] if Question(task, ROWS[0]).wants(other)]
        for task in (SAME_SPEAKER, OTHER_SPEAKER, OTHER_LANGUAGE)
    }
    assert wanted == {SAME_SPEAKER: ["2"], OTHER_SPEAKER: ["3"], OTHER_LANGUAGE: ["4"]}


def test_clips_lie_where_it_is_said() -> None:
    chosen = [replace(row("x", "eng", "a", "g"), path=clip.path) for clip in clips()[:8]]
    made = list(recordings(chosen, minutes=0.2))
    assert len(made) > 1
    assert [each.row for _, placed in made for each in placed] == chosen
    for samples, placed in made:
        assert placed[-1].span.end < len(samples)
        for each in placed:
            heard = decode(each.row.path.read_bytes(), Door()).samples
            np.testing.assert_array_equal(samples[each.span.start : each.span.end], heard)


def test_a_detection_is_at_what_its_middle_is_near_or_it_holds() -> None:
    place = Span(10 * RATE, 11 * RATE)
    assert is_at(Span(10 * RATE, 11 * RATE), place)
    assert is_at(Span(9 * RATE, 10 * RATE), place)
    assert not is_at(Span(8 * RATE, 10 * RATE), place)
    assert is_at(Span(6 * RATE, 12 * RATE), place)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(Span(0, 10), Span(0, 10)) == 1
    assert overlap(Span(0, 10), Span(5, 10)) == 0.5
    assert overlap(Span(0, 10), Span(10, 20)) == 0
