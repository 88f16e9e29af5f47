import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from embedsvc.evaluation import phone_errors, report, robustness, same_content
from embedsvc.evaluation.embedding import Pass, Subject
from embedsvc.evaluation.encoder_tasks import TASKS, Asked, Results, evaluate
from embedsvc.evaluation.speech import SYNTHETIC, Row

ABOUT = {"model": "small", "weights": 64 * "0", "share": 1.0, "versions": {"numpy": "2"}}


@pytest.fixture(scope="module")
def results(subject: Subject, rows: tuple[Row, ...]) -> Results:
    told: list[tuple[str, int, int | None]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "MOST", 4)
        found = evaluate(subject, rows, Asked(why="no text"), lambda *each: told.append(each))
    assert {stage for stage, _, _ in told} >= {"clips", "worse sound"}
    return found


def test_every_task_is_measured(results: Results) -> None:
    assert not results.failed
    assert {measure.task for measure in results.measures} == {
        "phone errors",
        "language, synthetic",
        "language, real",
        "same content",
        "translations",
        "emotion",
        "speed",
        "robustness",
    }
    assert [each.why for each in results.skipped] == ["clips of people: no text"]


def test_worse_sound_is_measured_in_every_condition(results: Results) -> None:
    phones = [each.name for each in results.measures if each.name.startswith("phones, synthetic")]
    assert len(phones) == len(set(phones)) == 9
    worse = [each for each in results.measures if each.task == "robustness"]
    assert len(worse) == 3 * 9
    assert all(each.counts.get("queries", 4) <= 4 for each in worse)


def test_clean_sound_gives_the_figures_of_its_task(
    subject: Subject, rows: tuple[Row, ...], passed: Pass
) -> None:
    layer = subject.plan.layer
    assert subject.head is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "conditions", lambda _: {})
        clean = robustness.measure(
            subject, passed.clips, subject.head.labels, None, lambda *_: None
        )
        found, phones = clean
    (plain, _) = (each for each in same_content.measure(passed.clips) if "EmoDB" in each.name)
    assert found.values[f"layer {layer}"] == plain.values[f"layer {layer}"]
    assert found.values["default"] == plain.values["default"]
    (rate, *_) = phone_errors.measure(passed.clips, subject.head.labels, {}, frozenset())
    assert phones.values == rate.values


def test_what_is_not_there_is_skipped_and_says_so(subject: Subject, rows: tuple[Row, ...]) -> None:
    people = [row for row in rows if row.corpus == "other"]
    mute = replace(subject, head=None)
    tasks = tuple(task for task in TASKS if task != "speed")
    found = evaluate(mute, people, Asked(tasks), lambda *_: None)
    assert not found.measures
    reasons = {each.task: each.why for each in found.skipped}
    assert reasons["phones"] == "the model has no phone head"
    assert {"language-synthetic", "content", "translations", "emotion"} < set(reasons)


def test_people_need_phones_of_their_texts(subject: Subject, rows: tuple[Row, ...]) -> None:
    people = [row for row in rows if row.corpus == "emo_emodb"][:3]
    without = evaluate(subject, people, Asked(("phones",), None, "none here"), lambda *_: None)
    assert without.skipped[0].why == "clips of people: none here"
    spell = Asked(("phones",), lambda rows: dict.fromkeys(rows, ("a", "n")))
    (measure,) = evaluate(subject, people, spell, lambda *_: None).measures
    assert measure.name == "emo_emodb"
    assert measure.counts == {"clips": 3, "phones": 6}


def test_only_clips_of_the_tasks_are_passed(subject: Subject, rows: tuple[Row, ...]) -> None:
    found = evaluate(subject, rows, Asked(("translations",)), lambda *_: None)
    wanted = [row for row in rows if row.corpus == SYNTHETIC and row.label == "parallel"]
    assert found.clips == len(wanted)


def test_the_document_is_json_nested_by_task_name_and_figure(results: Results) -> None:
    text = json.dumps(report.document(ABOUT, results), allow_nan=False)
    document: dict[str, Any] = json.loads(text)
    figure = document["tasks"]["same content"]["EmoDB, other speaker"]["R@1"]
    assert figure["headline"] == {"of": "default", "value": figure["values"]["default"]}
    assert figure["values"][f"layer {figure['best_layer']}"] <= 1
    assert 0 < figure["chance"] < 1
    assert document["about"] == ABOUT


def test_the_card_is_a_section_between_two_marks_with_sound_tables(results: Results) -> None:
    lines = report.card(ABOUT, results).split("\n")
    assert (lines[0], lines[-1]) == (report.BEGIN, report.END)
    cells = [len(re.split(r"(?<!\\)\|", line)) for line in lines if line.startswith("| ")]
    assert len(set(cells)) <= 3
    assert any("EmoDB, other speaker | R@1" in line for line in lines)


def test_the_curves_are_sound_svg(results: Results) -> None:
    root = ET.fromstring(report.curves(results.measures))
    charts = root.findall("{http://www.w3.org/2000/svg}g")
    assert len(charts) > 4
    assert ET.fromstring(report.curves([])).tag.endswith("svg")
