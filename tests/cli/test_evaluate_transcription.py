import json
import shutil
from pathlib import Path

import pytest

from embedsvc.encoder import resolve
from embedsvc.samples import clips
from tests.cli.program import Program
from tests.evaluation.sets import write_set

LETTERS = set("abdefhijklmnoprstuvwz")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples whose letters stand for phones, which is right often enough to learn from."""
    folder = tmp_path_factory.mktemp("spoken")
    some = [clip for clip in clips() if clip.language in {"spa", "ita", "fin"}]
    rows = [
        {
            "path": str(clip.path),
            "split": "dev" if place % 3 == 0 else "train",
            "language": clip.language,
            "speaker": clip.voice,
            "group": clip.group,
            "seconds": f"{clip.seconds:g}",
            "phones": " ".join(letter for letter in clip.text.lower() if letter in LETTERS),
        }
        for place, clip in enumerate(some)
    ]
    write_set(folder, rows)
    return folder


def test_a_calibration_is_fitted_written_and_served(
    main: Program, spoken: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "model", tmp_path / "out.json"
    shutil.copytree(resolve("mini").directory, model)
    (model / "calibration.json").unlink()
    asked = ("transcribe", "calibrate", spoken, "--model", model, "--out", model, "--json", out)
    ended = main(*asked, "--threads", 1)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["method"].endswith("isotonic/v1")
    raw, _, fitted = found["figures"]["confidence"]
    assert fitted["tokens"]["ece"] < raw["tokens"]["ece"]
    ended = main("evaluate", "transcription", spoken, "--model", model, "--threads", 1)
    assert ended.returncode == 0, ended.stderr
    assert "as it is served" in ended.stdout
    path = next(clip.path for clip in clips() if clip.language == "spa")
    ended = main("transcribe", path, "--json", "--model", model)
    assert ended.returncode == 0, ended.stderr
    segments = json.loads(ended.stdout)["segments"]
    assert {each["confidence_method"] for each in segments} == {found["method"]}


def test_a_set_with_one_side_is_refused(main: Program, spoken: Path) -> None:
    ended = main("transcribe", "calibrate", spoken, "--only", 'split = "dev"')
    assert ended.returncode == 1
    assert "both sides of --by split" in ended.stderr
