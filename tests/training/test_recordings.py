import shutil
from pathlib import Path

import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.samples import clips
from embedsvc.training.corpus import CLIPS, read_clips
from embedsvc.training.recordings import Order, is_trainable, make, read_rows, said, sets
from embedsvc.training.shards import Made, Task, make_all

COLUMNS = "path split language speaker label transcript seconds group licence licence_class source"
ROWS = (
    ("a.opus", "train", "por-BR", "ana", "", "bom dia", "2", "one", "MIT", "permissive", "x"),
    ("b.opus", "train", "zul", "ben", "", "", "2", "", "CC-BY-SA", "cc-by-sa", "x"),
    ("c.opus", "dev", "eng", "cid", "", "", "2", "", "MIT", "permissive", "x"),
    ("d.opus", "train", "eng", "dan", "", "", "2", "", "GPL", "gpl", "x"),
    ("e.opus", "train", "eng", "eve", "", "", "2", "", "NC", "nc", "x"),
    ("broken.opus", "train", "eng", "flo", "", "", "2", "", "MIT", "permissive", "x"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set with rows that may be trained on and others, and a set without any."""
    real, other = tmp_path / "speech" / "real", tmp_path / "speech" / "other"
    for each, rows in ((real, ROWS), (other, ROWS[2:5])):
        each.mkdir(parents=True)
        lines = ["\t".join(columns) for columns in (COLUMNS.split(), *rows)]
        (each / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in "abcde":
        shutil.copy(clips()[0].path, real / f"{name}.opus")
    (real / "broken.opus").write_bytes(b"no sound")
    return tmp_path / "speech"


def shard_of(folder: Path, out: Path) -> Made:
    task = Task("recordings-real", make, Order(folder / "real", "digest", "1.51"))
    (made,) = make_all([task], out, 1, lambda name, done, total: None)
    return made


def test_only_rows_whose_license_lets_a_model_ship_are_read(folder: Path) -> None:
    assert [row["path"] for row in read_rows(folder / "real")] == [
        "a.opus",
        "b.opus",
        "broken.opus",
    ]
    assert not is_trainable({"split": "train", "licence_class": "unclear"})


def test_a_set_without_such_rows_is_passed_over(folder: Path) -> None:
    assert [path.name for path in sets(folder)] == ["real"]


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="SPEECH_DIR"):
        sets(tmp_path)


@pytest.mark.usefixtures("needs_espeak")
def test_recordings_become_clips_with_phones_of_their_text(folder: Path, tmp_path: Path) -> None:
    made = shard_of(folder, tmp_path / "shards")
    assert made.path is not None
    first, second = read_clips(made.path / CLIPS)
    assert (first.corpus, first.synthesizer, first.language, first.voice) == (
        "real",
        "",
        "por",
        "ana",
    )
    assert first.group == "real:one"
    assert "".join(first.phones).startswith("bo")
    assert not first.times
    assert (second.language, second.group, second.phones) == ("zul", "", ())
    assert made.counts["unreadable"] == 1


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("fsdd", {"language": "eng", "label": "7", "transcript": ""}, "seven"),
        ("gcompris_voices", {"language": "eng", "group": "a/polar_bear", "transcript": ""},
         "polar bear"),
        ("gcompris_voices", {"language": "spa", "group": "a/polar_bear", "transcript": ""}, ""),
        ("curiouslearning", {"language": "eng", "path": "letters/a.opus", "transcript": "a"}, ""),
        ("ftm_letters_words", {"language": "hin", "label": "letter", "transcript": "क"}, ""),
        ("anything", {"language": "heb", "transcript": "לא"}, ""),
        ("anything", {"language": "cmn-TW", "transcript": "一_就_"}, "一 就"),
    ],
)  # fmt: skip
def test_text_is_what_is_said_for_certain(name: str, row: dict[str, str], text: str) -> None:
    assert said(name, row) == text
