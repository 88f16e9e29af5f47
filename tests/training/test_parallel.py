import csv
from pathlib import Path

import pytest

from embedsvc.errors import InvalidArgument
from embedsvc.evaluation.speech import read_table
from embedsvc.training import parallel
from embedsvc.training.held_out import INDEX
from embedsvc.training.parallel import Plan, make_parallel, orders, shared_names
from embedsvc.training.texts import Line
from embedsvc.training.utterances import KEPT_VARIANTS
from tests.training.conftest import LANGUAGES


@pytest.fixture
def plan(text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(parallel, "languages", lambda: LANGUAGES)
    return Plan(text_folder, lines=6, names=2, languages=("deu", "eng", "swa"))


def test_lines_are_said_that_may_be_trained_on(
    plan: Plan, tmp_path: Path, needs_espeak: None
) -> None:
    counts = make_parallel(plan, tmp_path / "out", lambda *_: None)
    assert counts["train parallel"] > 12
    rows = read_table(tmp_path / "out" / INDEX)
    assert {row.language for row in rows} == {"deu", "eng", "swa"}
    assert {row.split for row in rows} == {"train"}
    assert all(row.trainable for row in rows)
    assert all(int(row.group.removeprefix("ntrex:")) < 1_400 for row in rows)
    assert not {row.speaker.partition("+")[2] for row in rows} & set(KEPT_VARIANTS)
    with (tmp_path / "out" / INDEX).open(encoding="utf-8", newline="") as file:
        said = [row["group"] for row in csv.DictReader(file, delimiter="\t")]
    assert len(set(said)) < len(said), "some are said in two languages"


def test_the_plan_is_the_same_again_and_another_with_another_seed(plan: Plan) -> None:
    assert list(orders(plan, "1.51")) == list(orders(plan, "1.51"))
    other = Plan(plan.texts, plan.lines, plan.names, plan.languages, seed=4)
    assert list(orders(plan, "1.51")) != list(orders(other, "1.51"))


def test_a_language_without_lines_is_refused(plan: Plan) -> None:
    missing = Plan(plan.texts, languages=("eng", "xyz"))
    with pytest.raises(InvalidArgument, match="but not xyz"):
        list(orders(missing, "1.51"))
    with pytest.raises(InvalidArgument, match="`--lines` must be at least 1"):
        Plan(plan.texts, lines=0)


def test_names_are_words_that_stay_as_they_are_in_translations() -> None:
    english = Line("In May the Mayor of Lima met Ana Torres", "ntrex:0")
    lines = {
        "eng": [english],
        "deu": [Line("Im Mai traf der Bürgermeister von Lima Ana Torres", "ntrex:0")],
        "spa": [Line("En mayo, el alcalde de Lima se reunió con Ana Torres", "ntrex:0")],
        "pol": [Line("W maju burmistrz Limy spotkał Ana Torres", "ntrex:0")],
        "tam": [Line("லிமா மேயர் அனா டோரஸ்", "ntrex:0")],
    }
    found = shared_names(lines)
    torres = Line("Torres", "name:Torres")
    assert found["deu"] == found["eng"] == found["pol"] == (torres,)
    assert found["tam"] == ()
    more = {**lines, "fra": [Line("En mai, le maire de Lima", "ntrex:0")]}
    assert shared_names(more)["fra"] == (Line("Lima", "name:Lima"),)
