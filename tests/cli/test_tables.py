import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.cli.tables import Rows, matching, read
from embedsvc.errors import InvalidArgument

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=6)
values = st.one_of(texts, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.just(0.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tables of this module are written."""
    return tmp_path_factory.mktemp("tables")


def written(folder: Path, text: str, suffix: str = ".tsv") -> Path:
    path = folder / f"table{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def fault(path: Path) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read(path)
    return caught.value.message


@pytest.mark.parametrize(("suffix", "mark"), [(".tsv", "\t"), (".csv", ",")])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_column_is_of_numbers_when_every_value_is_one(
    folder: Path, suffix: str, mark: str, ending: str
) -> None:
    lines = [
        ["path", "year", "score", "code", "mixed", "big"],
        ["a.wav", "1990", "0.5", "007", "1", "123456789012345678"],
        ["b.wav", "-3", "2", "10", "x", "-1"],
        ["c.wav", "", "1e-3", "", "", ""],
    ]
    text = ending.join(mark.join(line) for line in lines)
    rows = read(written(folder, text, suffix))
    assert rows == {
        "a.wav": {
            "year": 1990,
            "score": 0.5,
            "code": "007",
            "mixed": "1",
            "big": 123456789012345678,
        },
        "b.wav": {"year": -3, "score": 2.0, "code": "10", "mixed": "x", "big": -1},
        "c.wav": {"score": 0.001},
    }
    assert type(rows["b.wav"]["score"]) is float
    assert type(rows["b.wav"]["year"]) is int


def test_a_column_of_texts_is_never_of_numbers(folder: Path) -> None:
    assert read(written(folder, "id\tsaid\tn\na\t1.50\t2\n"), ["said"]) == {
        "a": {"said": "1.50", "n": 2}
    }
    path = written(folder, '{"id": "a", "said": "1.50"}\n{"id": "b", "said": null}', ".jsonl")
    assert read(path, ["said"]) == {"a": {"said": "1.50"}, "b": {}}
    with pytest.raises(InvalidArgument, match="line 1 must have a text as 'said'"):
        read(written(folder, '{"id": "a", "said": 2}', ".jsonl"), ["said"])


def test_texts_that_only_look_like_numbers_stay_texts(folder: Path) -> None:
    for value in ("+1", "1.", ".5", "1_000", " 1", "0x10", "NaN", "inf", "1,5", "01", "true"):
        rows = read(written(folder, f"id\tfield\na\t{value}\n"))
        assert rows == {"a": {"field": value}}


def test_quotes_mean_something_in_csv_only(folder: Path) -> None:
    assert read(written(folder, 'id\ttext\na\t"x"\n')) == {"a": {"text": '"x"'}}
    text = 'id,text\na,"x, ""y""\nz"\n'
    assert read(written(folder, text, ".csv")) == {"a": {"text": 'x, "y"\nz'}}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, texts, max_size=4))
def test_any_text_survives_csv(folder: Path, found: dict[str, str]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([["id", "text"], *found.items(), ["n", "x"]])
    rows = read(written(folder, file.getvalue(), ".csv"))
    for id, text in ({**found, "n": "x"}).items():
        assert rows[id] == {"text": text}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, st.dictionaries(texts, values | st.none(), max_size=3), max_size=3))
def test_values_of_json_lines_have_their_own_types(
    folder: Path, found: dict[str, dict[str, str | int | float | bool | None]]
) -> None:
    known = {id: {**row, "path": id} for id, row in found.items()}
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in known.values())
    rows = read(written(folder, f"\n{text}\n\n", ".jsonl"))
    for id, row in known.items():
        expected = {name: value for name, value in row.items() if value is not None}
        del expected["path"]
        assert repr(rows[id]) == repr(expected)


@pytest.mark.parametrize(
    ("header", "key"), [("file\tid\tpath", "c"), ("file\tid\tx", "b"), ("file\tx\ty", "a")]
)
def test_the_key_is_the_path_else_the_id_else_the_file(folder: Path, header: str, key: str) -> None:
    rows = read(written(folder, f"{header}\na\tb\tc\n"))
    assert list(rows) == [key]
    assert set(rows[key].values()) == {"a", "b", "c"} - {key}


def test_keys_are_texts_even_when_they_look_like_numbers(folder: Path) -> None:
    assert read(written(folder, "id\tx\n007\t1\n8\t2\n")) == {"007": {"x": 1}, "8": {"x": 2}}
    assert read(written(folder, '{"id": 7, "x": 1}', ".jsonl")) == {"7": {"x": 1}}


def test_a_row_without_a_key_is_about_nothing(folder: Path) -> None:
    assert read(written(folder, "path\tx\n\t1\na.wav\t2\n")) == {"a.wav": {"x": 2}}


def test_a_row_may_be_shorter_than_the_header_but_not_longer(folder: Path) -> None:
    assert read(written(folder, "id\tx\ty\na\t1\n")) == {"a": {"x": 1}}
    for text in ("id\tx\na\t1\t2\n", "id\tx\na\t1\nb\t1\t2\t3\n"):
        assert "must have a column for every cell" in fault(written(folder, text))


def test_a_byte_order_mark_is_no_part_of_the_first_column(folder: Path) -> None:
    assert read(written(folder, "\ufeffid\tx\na\t1\n")) == {"a": {"x": 1}}


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_an_empty_table_has_no_rows(folder: Path, suffix: str) -> None:
    assert read(written(folder, "", suffix)) == {}


def test_what_is_no_table_is_named(folder: Path) -> None:
    assert "readable text file" in fault(folder / "missing.tsv")
    (folder / "binary.tsv").write_bytes(b"\xff\xfe")
    assert "readable text file" in fault(folder / "binary.tsv")
    assert ".tsv, .csv or .jsonl, but is table.xlsx" in fault(written(folder, "", ".xlsx"))
    assert "a column path, id, file" in fault(written(folder, "name\tx\na\t1\n"))
    assert "line 2 must be JSON" in fault(written(folder, '{"id": 1}\n{"id"', ".jsonl"))
    assert "line 1 must be JSON" in fault(written(folder, f'{{"id": {"9" * 5000}}}', ".jsonl"))
    assert "must be a table" in fault(written(folder, "id\tx\na\t" + "y" * 140_000))
    assert "line 1 of table.jsonl must be an object" in fault(written(folder, "[1]", ".jsonl"))
    nested = fault(written(folder, '{"id": "a"}\n{"id": "b", "tags": ["x"]}', ".jsonl"))
    assert "line 2 must have a text, number or boolean as 'tags'" in nested


def test_a_recording_finds_its_row_by_id_or_by_the_name_of_its_file() -> None:
    rows: Rows = {"pol/a.wav": {"x": 1}, "b.wav": {"x": 2}}
    assert matching(rows, "pol/a.wav") == {"x": 1}
    assert matching(rows, "deu/b.wav") == {"x": 2}
    assert matching(rows, "a.wav") is None
