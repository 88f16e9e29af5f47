import json
import shutil
from pathlib import Path

import pytest

from embedsvc.encoder import resolve
from embedsvc.encoder.ctc import load_heads, resolve_ctc
from embedsvc.samples import clips
from tests.cli.program import Program
from tests.encoder.ctc.published import wave, write
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


def test_a_calibration_is_said_to_be_left_out_until_it_is_adopted(
    main: Program, spoken: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(resolve("mini").directory, model)
    path = model / "calibration.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps({name: each | {"digest": "0" * 64} for name, each in known.items()}),
        encoding="utf-8",
    )
    asked = ("evaluate", "transcription", spoken, "--model", model, "--threads", 1)
    before = main(*asked)
    assert before.returncode == 0, before.stderr
    assert "head 'phones' is not calibrated: calibration.json was fitted for" in before.stderr
    assert "as it is served" not in before.stdout
    adopted = main("transcribe", "calibrate", "--adopt", "--model", model)
    assert adopted.returncode == 0, adopted.stderr
    assert "phones" in adopted.stderr
    assert json.loads(path.read_text(encoding="utf-8")) == known
    after = main(*asked)
    assert "not calibrated" not in after.stderr
    assert "as it is served" in after.stdout


def test_a_head_of_another_model_is_measured_and_calibrated_under_its_own_name(
    main: Program, spoken: Path, tmp_path: Path
) -> None:
    model = write(wave(), tmp_path / "model")
    rows = (spoken / "index.tsv").read_text(encoding="utf-8").splitlines()
    header, *_ = rows
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "index.tsv").write_text(
        "\n".join([f"{header}\ttranscript", *(f"{row}\tab ba" for row in rows[1:])]),
        encoding="utf-8",
    )
    asked = (texts, "--head", f"other={model}:spa,ita,fin", "--threads", 1)
    measured = main("evaluate", "transcription", *asked, "--json", tmp_path / "out.json")
    assert measured.returncode == 0, measured.stderr
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    known = sum("\tdev\t" in row for row in rows)
    assert (found["head"], found["figures"]["clips"]) == ("text", known)
    assert (found["method"], len(found["figures"]["confidence"])) == ("probability/v1", 2)
    fitted = main("transcribe", "calibrate", *asked, "--most", 100, "--out", model)
    assert fitted.returncode == 0, fitted.stderr
    (head,) = load_heads(resolve_ctc(str(model)))
    assert "isotonic" in head.info.calibration
    assert not head.left_out


def test_a_measurement_needs_clips(main: Program) -> None:
    for command in (("evaluate", "transcription"), ("transcribe", "calibrate")):
        ended = main(*command)
        assert ended.returncode == 1
        assert "`DIR` must be given" in ended.stderr


def test_a_set_with_one_side_is_refused(main: Program, spoken: Path) -> None:
    ended = main("transcribe", "calibrate", spoken, "--only", 'split = "dev"')
    assert ended.returncode == 1
    assert "both sides of --by split" in ended.stderr
