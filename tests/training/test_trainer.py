"""A training learns, and goes on exactly where it was stopped, however that happened."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import FailedPrecondition
from embedsvc.training.export import export
from embedsvc.training.state import Run
from embedsvc.training.trainer import Limits, train
from tests.training.toy import PHONES, SMALL, ignore, recipe


def final(folder: Path) -> Mapping[str, torch.Tensor]:
    saved = Run(folder).last()
    assert saved is not None
    return saved.model


def test_a_run_in_parts_ends_as_one_in_a_piece(sounds: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for _ in range(9):
        # The time is over after the first step of each part.
        train(sounds, out, recipe(9), Limits(minutes=0), ignore)
    for name, tensor in final(out).items():
        assert torch.equal(tensor, final(trained)[name]), name


def test_a_finished_run_says_so(sounds: Path, trained: Path) -> None:
    with pytest.raises(FailedPrecondition, match="made all 9 steps"):
        train(sounds, trained, recipe(9), Limits(), ignore)


def test_another_recipe_does_not_go_on_with_a_run(sounds: Path, trained: Path) -> None:
    with pytest.raises(FailedPrecondition, match="a run of the same recipe"):
        train(sounds, trained, recipe(12), Limits(), ignore)


def test_phones_are_learnt(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(sounds, out, recipe(60, **{"mix.frames": "512"}), Limits(), ignore)
    records = [each for each in Run(out).records() if each["kind"] == "validation"]
    assert records[-1]["frame_accuracy"] > 0.6 > records[0]["frame_accuracy"]
    assert records[-1]["phone_error"] < records[0]["phone_error"]
    assert all(math.isfinite(value) for each in records for key, value in each.items()
               if key != "kind")  # fmt: skip


def test_what_was_trained_can_be_served(trained: Path, tmp_path: Path) -> None:
    export(Run(trained), tmp_path / "model")
    encoder = Encoder.load(resolve(str(tmp_path / "model")), threads=1)
    assert encoder.dim == 32
    labels = json.loads((tmp_path / "model" / "heads.json").read_text())["phones"]["labels"]
    assert labels == ["", *sorted(PHONES)]


CHILD = """
import sys
from pathlib import Path
from embedsvc.training.recipe import read_recipe
from embedsvc.training.trainer import Limits, train

def show(record):
    print(record["kind"], record["step"], flush=True)

if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), read_recipe(Path(sys.argv[3])),
          Limits(processes=int(sys.argv[4])), show)
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_any_moment_it_ends_the_same(
    sounds: Path, tmp_path: Path, processes: int
) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    config = tmp_path / "recipe.toml"
    lines: dict[str, list[str]] = {}
    for name, value in (SMALL | {"schedule.steps": "60"}).items():
        section, _, key = name.partition(".")
        lines.setdefault(section, []).append(f"{key} = {value}")
    config.write_text(
        "\n".join(f"[{section}]\n" + "\n".join(rows) for section, rows in lines.items())
    )
    command = [sys.executable, str(script), str(sounds)]
    rest = [str(config), str(processes)]
    subprocess.run([*command, str(tmp_path / "whole"), *rest], check=True)
    random = np.random.default_rng(processes)
    for _ in range(40):
        child = subprocess.Popen([*command, str(tmp_path / "parts"), *rest], start_new_session=True)
        try:
            child.wait(timeout=4 + 3 * random.random())
        except subprocess.TimeoutExpired:
            import os

            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            time.sleep(0.1)
        else:
            break
    for name, tensor in final(tmp_path / "parts").items():
        assert torch.equal(tensor, final(tmp_path / "whole")[name]), name
