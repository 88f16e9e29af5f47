import csv
import json
from importlib import resources
from pathlib import Path

import pytest

from embedsvc.languages import Measured, Recall, languages, markdown, write_measured
from embedsvc.training.languages import languages as synthesized

CARD = """
af am ar as az be bn bs bg ca cs zh cy da de el en et fi fr or om ga gl gu ha he hi hr hu hy ig
id is it ja jv ka kn kk km ko ky lo ln lt lb lg lv ml mr mk mn mt mi my nl nb ne ny oc pa ps fa
pl pt ro ru sk sl sn sd so es sr sv sw ta te tg tl th tr uk ur uz vi wo xh yo ms zu ary arz yue
kea
"""
"""The tags on the card of facebook/w2v-bert-2.0."""

PAGE = Path(__file__).parents[2] / "docs" / "languages.md"


def test_every_language_of_the_public_card_is_there_once() -> None:
    assert len(CARD.split()) == 96
    assert sorted(row.card for row in languages() if row.card) == sorted(CARD.split())


def test_the_card_speaks_of_a_language_by_its_own_tag() -> None:
    for row in languages():
        assert row.card in {"", row.bcp47}


def test_there_are_more_languages_than_anyone_asked_for() -> None:
    assert len(languages()) >= 130


def test_rows_are_in_the_order_of_their_codes() -> None:
    codes = [row.code for row in languages()]
    assert codes == sorted(set(codes))


def test_rows_are_well_formed() -> None:
    for row in languages():
        assert len(row.code) == 3
        assert row.code.islower()
        assert len(row.bcp47) in {2, 3}
        assert row.name == row.name.strip() != ""
        assert row.endonym == row.endonym.strip()
        assert row.scripts
        assert all(len(script) == 4 and script.istitle() for script in row.scripts)


def test_no_code_names_two_languages() -> None:
    codes = [code for row in languages() for code in {row.code, row.bcp47, *row.also}]
    assert len(codes) == len(set(codes))


def test_names_are_not_shared() -> None:
    names = [row.name for row in languages()]
    assert len(names) == len(set(names))


def test_every_language_that_mini_heard_has_a_row() -> None:
    heard = resources.files("embedsvc").joinpath("models/mini/training.json")
    codes = {row.code for row in languages()}
    assert set(json.loads(heard.read_text(encoding="utf-8"))["languages"]) <= codes
    assert {each.code for each in synthesized()} <= codes


def test_rows_agree_with_the_registries_of_iso() -> None:
    registry = pytest.importorskip("pycountry").languages
    for row in languages():
        entry = registry.get(alpha_3=row.code)
        assert entry is not None, row.code
        short = getattr(entry, "alpha_2", row.code)
        # CLDR writes Mandarin as `zh` and Odia as `or`, the codes of their macrolanguages.
        assert row.bcp47 == {"cmn": "zh", "ory": "or"}.get(row.code, short)
        if hasattr(entry, "bibliographic"):
            assert entry.bibliographic in row.also


def test_the_page_is_in_step_with_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(languages())


def test_a_page_shows_what_was_measured() -> None:
    (row,) = [row for row in languages() if row.code == "heb"]
    shown = markdown([row])
    assert "1 languages: 1 named by the card" in shown
    assert "| heb | he | Hebrew | עברית | Hebr | iw | he |" in shown


def test_what_was_measured_is_written_and_read(tmp_path: Path) -> None:
    measured = {
        "heb": Measured(120.0, 60.0, True, Recall(3, 4), None),
        "deu": Measured(90.0, 0.0),
    }
    write_measured(measured, tmp_path / "measured.tsv")
    with (tmp_path / "measured.tsv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file, delimiter="\t")
    assert (first["code"], first["people_asked"], first["probe"]) == ("deu", "", "")
    assert (second["people_right"], second["people_asked"], second["probe"]) == ("3", "4", "yes")


def test_what_ships_was_measured() -> None:
    known = [row for row in languages() if row.measured.probe]
    assert len(known) >= 90
    assert sum(row.measured.synthetic_seconds > 0 for row in languages()) >= 90
    assert sum(row.measured.people is not None for row in languages()) >= 30
    for row in languages():
        for recall in (row.measured.people, row.measured.synthetic):
            assert recall is None or 0 <= recall.right <= recall.asked
