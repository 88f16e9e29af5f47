import json
from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program
from tests.evaluation.sets import write_set

LANGUAGES = {"eng", "deu", "pol"}


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """One set of sentences, some of which two voices say."""
    rows = [
        {
            "path": str(clip.path),
            "split": "dev",
            "language": clip.language,
            "speaker": clip.voice,
            "label": "",
            "seconds": f"{clip.seconds:g}",
            "group": clip.group,
            "licence_class": "permissive",
        }
        for clip in clips()
        if clip.language in LANGUAGES
    ]
    write_set(tmp_path / "speech" / "sentences", rows)
    return tmp_path / "speech"


def test_every_system_is_measured(main: Program, speech: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    ended = main(
        "evaluate", "moments", "--speech", speech, "--minutes", "0.2", "--queries", "3",
        "--threads", "1", "--json", path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Said again by another speaker" in ended.stdout
    found = json.loads(path.read_text())
    systems = {each["system"] for each in found}
    assert {"segments of 6 s", "codes as they are kept: aligned everywhere"} <= systems
    assert len(systems) == 9
    for each in found:
        assert 0 <= each["first"] <= each["ten"] <= 1
        assert 0 <= each["mtwv"] <= 1
    aligned = [
        each
        for each in found
        if each["system"].startswith("codes as") and each["task"] == "another speaker"
    ]
    assert aligned[0]["ten"] == 1
    assert aligned[0]["overlap"] > 0.5


def test_speech_that_models_are_trained_on_is_not_used(main: Program, speech: Path) -> None:
    index = speech / "sentences" / "index.tsv"
    index.write_text(index.read_text().replace("\tdev\t", "\ttrain\t"))
    ended = main("evaluate", "moments", "--speech", speech)
    assert ended.returncode == 1
    assert "not for training" in ended.stderr
