from embedsvc.languages import languages
from tests.cli.program import Program, objects


def test_every_language_is_listed(main: Program) -> None:
    listed = objects(main("languages", "--json"))
    assert [each["code"] for each in listed] == [row.code for row in languages()]
    assert {"bcp47", "name", "scripts", "card", "measured"} <= listed[0].keys()


def test_languages_are_found_by_code_tag_and_name(main: Program) -> None:
    found = objects(main("languages", "--json", "iw", "pt-BR", "greek", "Deutsch"))
    assert [each["code"] for each in found] == ["deu", "ell", "grc", "heb", "por"]


def test_languages_are_shown_to_people(main: Program) -> None:
    shown = main("languages", "--card", "heb", "lat")
    assert "Languages: 1" in shown.stdout
    assert "Hebrew" in shown.stdout
    assert "Latin" not in shown.stdout


def test_a_language_that_is_not_there_is_the_callers_fault(main: Program) -> None:
    ended = main("languages", "qqq")
    assert ended.returncode == 1
    assert "`LANGUAGE` must be in the table" in ended.stderr


def test_the_page_is_printed(main: Program) -> None:
    shown = main("languages", "--markdown", "heb").stdout
    assert shown.startswith("# Languages\n")
    assert "| heb | he |" in shown
