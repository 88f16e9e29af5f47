import csv
import json
import shutil
from pathlib import Path

import pytest
import soundfile

from embedsvc.errors import FailedPrecondition
from embedsvc.training.synthesize import (
    LETTERS,
    LINES,
    SECONDS,
    VARIANTS,
    Amount,
    languages,
    main,
    plan,
    read_texts,
    synthesize,
)
from embedsvc.training.whiten import read_clips

SPOKEN = 'line %d is "said" by many voices, word by word'
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text for every language, the same in each, whose odd lines are too long to be said."""
    texts = tmp_path / "texts"
    texts.mkdir()
    lines = [SPOKEN % number + number % 2 * " and on and on" for number in range(1, 1_610)]
    for language in languages():
        (texts / f"{language.text}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return texts


def rows(index: Path) -> list[dict[str, str]]:
    with index.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_every_language_has_its_own_code_text_and_voice() -> None:
    table = languages()
    assert len(table) >= 70
    for column in ("language", "name", "text", "synthesizer"):
        assert len({getattr(language, column) for language in table}) == len(table)
    assert all(len(language.language) == 3 for language in table)


def test_the_last_lines_of_a_text_are_kept_to_evaluate_on(folder: Path) -> None:
    texts = read_texts(folder)
    assert {len(lines) for lines in texts.values()} == {LINES}
    assert max(each.number for each in plan(texts, Amount(2_000, 1, 1))) < 1_400


def test_a_missing_text_is_named(folder: Path) -> None:
    (folder / "deu.txt").unlink()
    with pytest.raises(FailedPrecondition, match=r"`TEXT_FOLDER` must have deu\.txt"):
        read_texts(folder)


def test_a_plan_is_the_same_each_time_and_names_each_clip_once(folder: Path) -> None:
    texts = read_texts(folder)
    planned = list(plan(texts, Amount(6, 5, 4)))
    assert planned == list(plan(texts, Amount(6, 5, 4)))
    assert len({each.path for each in planned}) == len(planned) == 6 * 5 * 4
    assert {each.voice.variant for each in planned} <= set(VARIANTS)
    assert all(each.text == texts[each.language][each.number - 1] for each in planned)


def test_only_lines_of_a_fitting_length_are_said(folder: Path) -> None:
    planned = list(plan(read_texts(folder), Amount(2_000, 1, 1)))
    assert planned
    assert all(len(each.text) in LETTERS for each in planned)


@needs_espeak
def test_clips_are_speech_that_may_be_fitted_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "synthetic"
    counts = synthesize(read_texts(folder), out, Amount(2, 3, 2))
    clips = read_clips([out / "index.tsv"])
    assert counts["clips"] == len(clips) == len(list((out / "clips").iterdir()))
    for row in rows(out / "index.tsv"):
        sound = soundfile.info(out / row["path"])
        assert (sound.samplerate, sound.channels, sound.format) == (16_000, 1, "FLAC")
        assert sound.duration == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert SECONDS[0] <= sound.duration <= SECONDS[1]
        assert (row["split"], row["licence"]) == ("train", "CC-BY-SA-4.0")
        assert row["transcript"] == SPOKEN % int(row["group"])
        assert row["speaker"] in row["path"]
        assert row["language"] in row["path"]


@needs_espeak
def test_the_same_texts_give_the_same_bytes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--lines", "1", "--languages", "2", "--voices", "2"]
    for name in ("first", "second"):
        main([str(folder), str(tmp_path / name), *wanted])
        assert json.loads(capsys.readouterr().out) == {"clips": 4}
    first = [path for path in sorted((tmp_path / "first").rglob("*")) if path.is_file()]
    assert len(first) == 5
    for path in first:
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert other.read_bytes() == path.read_bytes()


@needs_espeak
def test_what_can_not_be_said_is_left_out(folder: Path, tmp_path: Path) -> None:
    texts = {language: ["a" * 30] for language in languages() if language.language == "eng"}
    (unsaid,) = (language for language in languages() if language.language == "deu")
    texts[unsaid] = [""]
    counts = synthesize(texts, tmp_path / "out", Amount(1, 2, 1))
    assert counts["silent"] == 1


def test_synthesizing_without_the_synthesizer_says_what_is_missing(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        main([str(folder), str(tmp_path / "out")])
    assert "`espeak-ng` must be installed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
