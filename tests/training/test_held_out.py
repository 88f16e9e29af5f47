import csv
import json
from pathlib import Path

import pytest
import soundfile

from embedsvc.errors import InvalidArgument
from embedsvc.training import held_out
from embedsvc.training.held_out import COLUMNS, INDEX, Extent, main, orders
from embedsvc.training.utterances import KEPT_VARIANTS, VARIANTS


@pytest.fixture
def rows(
    text_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    needs_espeak: None,
) -> list[dict[str, str]]:
    """The index of a small set of three languages."""
    for name, count in (("PROBE_CLIPS", 4), ("DEV_CLIPS", 8), ("PARALLEL_LINES", 3)):
        monkeypatch.setattr(held_out, name, count)
    main([str(text_folder), str(tmp_path / "out")])
    counts = json.loads(capsys.readouterr().out)
    assert counts["train chunk"] == 3 * 4
    with (tmp_path / "out" / INDEX).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_index_says_all_of_every_clip(rows: list[dict[str, str]], tmp_path: Path) -> None:
    for row in rows:
        assert tuple(row) == COLUMNS
        sound = soundfile.info(tmp_path / "out" / row["path"])
        assert (sound.format, sound.samplerate, sound.channels) == ("FLAC", 16_000, 1)
        assert sound.duration == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert row["phones"].split()
        assert row["transcript"]
        assert (row["licence"], row["licence_class"]) == ("CC-BY-SA-4.0", "cc-by-sa")
    parts = {(row["split"], row["label"]) for row in rows}
    assert parts == {("train", "chunk"), ("dev", "chunk"), ("dev", "parallel")}
    variants = {row["split"]: set[str]() for row in rows}
    for row in rows:
        variants[row["split"]].add(row["speaker"].partition("+")[2])
    assert variants["train"] <= set(VARIANTS)
    assert variants["dev"] & set(KEPT_VARIANTS)
    groups = {row["group"] for row in rows if row["label"] == "parallel"}
    assert {int(group.removeprefix("ntrex:")) >= 1_400 for group in groups} == {True}


def test_clips_to_evaluate_with_say_kept_lines_and_others_do_not(text_folder: Path) -> None:
    for order in orders(text_folder, 2, "1.51"):
        for part in order.parts:
            assert {line.kept for line in part.lines} == {part.split == "dev"}


def test_some_languages_may_say_more(text_folder: Path) -> None:
    (order,) = orders(text_folder, 2, "1.51", Extent(("deu",), 99))
    assert order.language.code == "deu"
    assert {part.most for part in order.parts if (part.split, part.label) == ("dev", "chunk")} == {
        99
    }
    with pytest.raises(InvalidArgument, match="'xyz'"):
        Extent(("deu", "xyz"))
