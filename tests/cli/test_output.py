import json
import math

import pytest

from embedsvc.cli.output import emit, progress, say, span_text, table
from embedsvc.types import Span

Captured = pytest.CaptureFixture[str]


def test_a_result_for_programs_is_one_line_of_json_on_stdout(capsys: Captured) -> None:
    emit({"id": "ż\n\u2028", "score": 0.5, "error": None})
    emit({"id": "b"})
    out, err = capsys.readouterr()
    first, second, rest = out.split("\n")
    assert json.loads(first) == {"id": "ż\n\u2028", "score": 0.5, "error": None}
    assert json.loads(second) == {"id": "b"}
    assert "ż" in first
    assert rest == err == ""


def test_numbers_that_json_does_not_have_are_a_bug_and_not_printed(capsys: Captured) -> None:
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            emit({"score": number})
    assert capsys.readouterr().out == ""


def test_what_is_for_people_goes_to_stderr(capsys: Captured) -> None:
    say("indexed 3 [files]")
    assert capsys.readouterr() == ("", "indexed 3 [files]\n")


def test_a_table_shows_every_cell_as_it_is(capsys: Captured) -> None:
    cells = ["[/x] a.wav", "[bold]b[/bold].wav", ":smile:.wav", "[c]", "1.50"]
    table("[Title] :cat:", ("file [x]", "n>"), [(cell, place) for place, cell in enumerate(cells)])
    out, err = capsys.readouterr()
    for text in (*cells, "[Title] :cat:", "file [x]"):
        assert text in out
    assert "\x1b" not in out
    assert err == ""


def test_a_column_may_be_aligned_right(capsys: Captured) -> None:
    table("Scores", ("name", "score>"), [("a", 1), ("b", 100)])
    lines = capsys.readouterr().out.splitlines()
    (first,) = [line for line in lines if "a " in line and "1" in line]
    (second,) = [line for line in lines if "100" in line]
    assert first.rindex("1") == second.rindex("0")
    assert not any(">" in line for line in lines)


def test_a_table_without_a_terminal_is_wide_enough_for_a_path(capsys: Captured) -> None:
    path = "a/rather/deep/folder/of/recordings/with/a/name-that-says-what-it-holds-and-when.wav"
    table("Files", ("path", "state"), [(path, "stored")])
    assert path in capsys.readouterr().out


def test_a_progress_bar_stays_out_of_files(capsys: Captured) -> None:
    with progress() as bar:
        shown = bar.add_task("indexing", total=2)
        bar.advance(shown)
    assert capsys.readouterr().out == ""


def test_a_span_is_written_in_seconds() -> None:
    assert span_text(Span(8_000, 16_160)) == "0.50-1.01 s"
