"""From a corpus to a model that the other commands take."""

import json
from pathlib import Path

import pytest
import torch

from tests.cli.program import Program, objects
from tests.training.toy import SMALL, write_sounds

SETTINGS = [
    word for name, value in (SMALL | {"schedule.steps": "6"}).items()
    for word in ("--set", f"{name}={value}")
]  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder where the corpus is already made."""
    corpus = tmp_path / "out" / "corpus"
    corpus.mkdir(parents=True)
    write_sounds(corpus)
    return tmp_path / "out"


def test_a_model_comes_out_and_can_be_shown(main: Program, out: Path) -> None:
    ended = main("train", "mini", "--out", out, "--processes", 1, "--json", *SETTINGS)
    assert ended.returncode == 0, ended.stderr
    assert [each["step"] for each in objects(ended)] == [3, 6]
    assert f"the model is in {out / 'model'}" in ended.stderr
    shown = main("models", "show", out / "model", "--json")
    (model,) = objects(shown)
    assert (model["layers"], model["dim"]) == (2, 32)


@pytest.mark.slow
def test_every_core_trains_and_a_second_call_goes_on(program: Program, out: Path) -> None:
    words = ("train", "mini", "--out", out, "--processes", 2, *SETTINGS)
    first = program(*words, "--minutes", 0)
    assert first.returncode == 0, first.stderr
    assert "call it again to go on" in first.stderr
    second = program(*words)
    assert second.returncode == 0, second.stderr
    assert "validation 6" in second.stderr
    record = json.loads((out / "model" / "training.json").read_text())
    assert (record["processes"], record["progress"]["step"]) == (2, 6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "schedule.steps"), "must be NAME=VALUE"),
        (("--set", "schedule.stepz=1"), "stepz"),
        (("--config", "nowhere.toml"), "readable TOML"),
        (("--texts", "nowhere"), "`--speech` must be given"),
        (("--processes", "0"), "`--processes` must be at least 1, but is 0"),
        (("--processes", "-1"), "`--processes` must be at least 1, but is -1"),
        (("--minutes", "-1"), "`--minutes` must not be negative"),
        (("--texts", ".", "--speech", ".", "--hours", "0"), "`--hours` must be positive"),
        (("--texts", ".", "--speech", ".", "--hours", "nan"), "`--hours` must be positive"),
        (("--device", "toaster"), "`device` must be cpu, cuda or cuda:N"),
    ],
)
def test_a_wrong_flag_is_told_what_is_wrong(
    main: Program, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = main("train", "mini", "--out", tmp_path / "new", *words)
    assert ended.returncode == 1
    assert said in ended.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_made(
    main: Program, tmp_path: Path
) -> None:
    ended = main("train", "mini", "--out", tmp_path / "new", "--device", "cuda")
    assert ended.returncode == 1
    assert "needs a GPU" in ended.stderr
    assert not (tmp_path / "new").exists()
