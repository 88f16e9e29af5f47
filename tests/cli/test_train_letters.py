"""From texts to a model directory that writes letters."""

import json
import shutil
from pathlib import Path

import pytest

from embedsvc.encoder import resolve
from embedsvc.samples import clips
from tests.cli.program import Program, objects
from tests.training.conftest import needs_espeak as needs_espeak  # noqa: PLC0414  a fixture
from tests.training.conftest import write

SMALL = ("--set", "hidden=16", "--set", "blocks=1", "--set", "epochs=1")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Texts of German, where the table of languages has them."""
    folder = write(tmp_path / "texts")
    shutil.copy(folder / "udhr" / "deu.tsv", folder / "udhr" / "deu_1996.tsv")
    return folder


def test_a_head_is_trained_put_into_a_model_and_writes(
    main: Program, texts: Path, tmp_path: Path, needs_espeak: None
) -> None:
    model = Path(shutil.copytree(resolve("mini").directory, tmp_path / "model"))
    asked = ("train", "letters", "--texts", texts, "--out", tmp_path / "out", "--heads", "deu")
    ended = main(*asked, "--hours", 0.005, *SMALL, "--into", model, "--json")
    assert ended.returncode == 0, ended.stderr
    epoch, blank = objects(ended)
    assert (epoch["head"], epoch["step"], blank["kind"]) == ("letters-deu", 1, "blank")
    described = json.loads((model / "heads.json").read_text(encoding="utf-8"))
    assert described["letters"]["letters-deu"]["languages"] == ["deu"]
    path = next(clip.path for clip in clips() if clip.language == "deu")
    ended = main("transcribe", path, "--language", "de", "--json", "--model", model)
    assert ended.returncode == 0, ended.stderr
    (found,) = objects(ended)
    assert found["head"] == "letters-deu"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heads", "deu,xyz"), "'xyz'"),
        (("--heads", "deu", "--hours", "0"), "`--hours` must be positive"),
        (("--heads", "deu", "--set", "size=1"), "`--set` must be of layer"),
        (("--heads", "deu", "--set", "hidden=many"), "must give hidden a number"),
    ],
)
def test_what_cannot_be_trained_says_why(
    main: Program, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = main("train", "letters", "--texts", tmp_path, "--out", tmp_path / "out", *words)
    assert ended.returncode == 1
    assert said in ended.stderr
