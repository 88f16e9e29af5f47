import shutil
from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program, objects
from tests.evaluation.sets import write_set
from tests.texts.test_pronouncing import spoken

LANGUAGES = {"eng", "deu"}


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """Sentences of two languages, each with what it says."""
    rows = [
        {
            "path": clip.path.name,
            "split": "dev",
            "language": clip.language,
            "speaker": clip.voice,
            "transcript": clip.text,
            "seconds": f"{clip.seconds:g}",
            "group": clip.group,
        }
        for clip in clips("archive")
        if clip.language in LANGUAGES
    ]
    write_set(tmp_path / "sentences", rows)
    for row in rows:
        kept = next(clip.path for clip in clips("archive") if clip.path.name == row["path"])
        shutil.copy(kept, tmp_path / "sentences")
    return tmp_path / "sentences"


@spoken
def test_typed_phrases_of_synthetic_speech_are_found(main: Program, sentences: Path) -> None:
    ended = main("evaluate", "text-search", sentences, "--queries", "4", "--json")
    assert ended.returncode == 0, ended.stderr
    found = {row["what"]: row for row in objects(ended)}
    assert {"1 word, by phones", "whole text, by phones", "both"} <= set(found)
    assert float(found["3 words, by phones"]["hit@1"]) >= 0.75
    assert float(found["3 words, by phones"]["span overlaps"]) >= 0.75
    assert float(found["whole text, by phones"]["hit@1"]) == 1


def test_a_set_without_transcripts_is_refused(main: Program, tmp_path: Path) -> None:
    write_set(tmp_path / "silent", [{"path": clips()[0].path.name, "split": "dev"}])
    shutil.copy(clips()[0].path, tmp_path / "silent")
    ended = main("evaluate", "text-search", tmp_path / "silent")
    assert ended.returncode != 0
    assert "must have rows with a transcript" in ended.stderr
