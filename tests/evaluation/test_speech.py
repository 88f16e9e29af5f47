from dataclasses import replace
from pathlib import Path

import pytest

from embedsvc.errors import InvalidArgument
from embedsvc.evaluation.speech import Row, capped, read_set, read_speech, thinned
from tests.evaluation.sets import write_set

CELLS = {
    "path": "a/b.opus",
    "split": "train",
    "language": "por-BR",
    "speaker": "s",
    "label": "l",
    "seconds": "1.5",
    "group": "",
    "licence_class": "cc-by-sa",
}


def many(count: int) -> tuple[Row, ...]:
    return tuple(
        Row("set", Path(f"{number}.wav"), "dev", f"l{number % 3:02}", "", "", "", 1.0, "", "")
        for number in range(count)
    )


def test_a_row_knows_its_language_and_whether_it_may_be_learned_from(tmp_path: Path) -> None:
    write_set(tmp_path, [CELLS, CELLS | {"phones": "a tʰ"}])
    row, _ = read_set(tmp_path, "set")
    assert (row.language, row.locale, row.seconds) == ("por", "por-BR", 1.5)
    assert row.path == tmp_path / "a/b.opus"
    assert row.phones == ()
    assert row.trainable
    assert not replace(row, split="dev").trainable
    assert not replace(row, licence_class="nc").trainable


def test_phones_are_separated_by_spaces(tmp_path: Path) -> None:
    write_set(tmp_path, [CELLS | {"phones": "a tʰ"}])
    assert read_set(tmp_path, "set")[0].phones == ("a", "tʰ")


def test_every_set_of_a_folder_is_read(speech: Path) -> None:
    rows = read_speech(speech)
    assert {row.corpus for row in rows} == {"emo_emodb", "gcompris_voices", "other"}


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="sets with an index"):
        read_speech(tmp_path)
    write_set(tmp_path, [{"path": "a.wav", "split": "dev"}])
    with pytest.raises(InvalidArgument, match="group, label, language"):
        read_set(tmp_path, "set")
    write_set(tmp_path, [CELLS | {"seconds": "long"}])
    with pytest.raises(InvalidArgument, match="long"):
        read_set(tmp_path, "set")


def test_a_share_is_of_about_that_size_and_holds_the_smaller_ones() -> None:
    rows = many(2000)
    tenth, half = thinned(rows, 0.1), thinned(rows, 0.5)
    assert 150 < len(tenth) < 250
    assert set(tenth) < set(half) < set(rows)
    assert thinned(rows, 1.0) == rows


def test_a_cap_is_for_each_language_and_does_not_depend_on_the_order() -> None:
    rows = many(60)
    kept = capped(rows, 5)
    assert sorted(row.language for row in kept) == sorted(["l00", "l01", "l02"] * 5)
    assert capped(rows[::-1], 5) == kept
