import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedsvc.ctc import Calibration
from embedsvc.encoder import resolve
from embedsvc.encoder.ctc import CtcHead, load_heads
from embedsvc.encoder.ctc.calibrations import (
    CALIBRATION_FILE,
    Fitted,
    calibrated,
    read_calibrations,
    written,
)
from embedsvc.errors import FailedPrecondition

CURVE = Calibration(raw=(0.1, 0.5), told=(0.2, 0.9))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The bundled model without its calibration."""
    model = tmp_path / "model"
    model.mkdir()
    for path in resolve("mini").directory.iterdir():
        if path.name != CALIBRATION_FILE:
            (model / path.name).symlink_to(path)
    return model


def only(model: Path) -> CtcHead:
    (head,) = (each for each in load_heads(resolve(str(model))) if each.info.name == "phones")
    return head


def test_a_head_without_a_calibration_keeps_its_raw_confidence(bare: Path) -> None:
    assert only(bare).calibration == Calibration()
    assert only(bare).info.calibration == Calibration().method


def test_a_head_has_the_calibration_of_its_name_alone(bare: Path) -> None:
    head = only(bare)
    other = replace(head, info=replace(head.info, name="other"))
    (bare / CALIBRATION_FILE).write_bytes(written(other, CURVE, bare))
    assert only(bare).calibration == Calibration()
    assert not only(bare).left_out
    (bare / CALIBRATION_FILE).write_bytes(written(head, CURVE, bare))
    fitted = Fitted(CURVE, head.digest)
    assert read_calibrations(bare) == {"other": fitted, "phones": fitted}
    assert only(bare).calibration == CURVE
    assert only(bare).info.calibration == CURVE.method


def trained_again(model: Path) -> None:
    """Change one number of the phone head."""
    path = model / "heads.safetensors"
    tensors = dict(load_file(path))
    bias = tensors["phones.bias"].copy()
    bias[0] += 1
    path.unlink()
    save_file(tensors | {"phones.bias": bias}, path)


def renamed(model: Path) -> None:
    """Change the last label of the phone head."""
    path = model / "heads.json"
    choices = json.loads(path.read_text(encoding="utf-8"))
    choices["phones"]["labels"][-1] = "?"
    path.unlink()
    path.write_text(json.dumps(choices), encoding="utf-8")


def heard_otherwise(model: Path) -> None:
    """Change one number of the body."""
    path = model / "model.safetensors"
    tensors = dict(load_file(path))
    name = min(tensors)
    tensors[name] = np.nextafter(tensors[name], np.inf, dtype=tensors[name].dtype)
    path.unlink()
    save_file(tensors, path)


@pytest.mark.parametrize("change", [trained_again, renamed, heard_otherwise])
def test_a_calibration_of_another_head_is_left_out(
    bare: Path, change: Callable[[Path], None]
) -> None:
    (bare / CALIBRATION_FILE).write_bytes(written(only(bare), CURVE, bare))
    change(bare)
    head = only(bare)
    assert head.calibration == Calibration()
    assert head.info.calibration == Calibration().method
    assert head.left_out == "calibration.json was fitted for other weights or labels"


def test_what_does_not_change_an_answer_keeps_the_calibration(bare: Path) -> None:
    (bare / CALIBRATION_FILE).write_bytes(written(only(bare), CURVE, bare))
    path = bare / "heads.json"
    choices = json.loads(path.read_text(encoding="utf-8"))
    choices["phones"]["license"] = "another"
    path.unlink()
    path.write_text(json.dumps(choices), encoding="utf-8")
    assert only(bare).info.license == "another"
    assert only(bare).calibration == CURVE


def test_a_calibration_of_nobody_knows_which_head_is_left_out(bare: Path) -> None:
    (bare / CALIBRATION_FILE).write_text(json.dumps({"phones": CURVE.to_json()}))
    assert only(bare).calibration == Calibration()
    assert "a head that it does not tell" in only(bare).left_out
    unknown = replace(only(bare), digest="")
    assert calibrated(unknown, bare).left_out


def test_letters_have_digests_of_their_own(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(resolve("mini").directory, model, ignore=shutil.ignore_patterns("probes"))
    path = model / "heads.safetensors"
    tensors = dict(load_file(path))
    name = "letters.letters-spa.output.bias"
    save_file(tensors | {name: -tensors[name]}, path)
    assert {head.info.name for head in load_heads(resolve(str(model))) if head.left_out} == {
        "letters-spa"
    }


def test_the_bundled_heads_are_calibrated() -> None:
    for head in load_heads(resolve("mini")):
        assert not head.left_out
        assert "isotonic" in head.info.calibration == head.calibration.method
        assert 0 < head.calibration.told[0] < head.calibration.told[-1] < 1


@pytest.mark.parametrize(
    "wrong",
    [
        "[]",
        "{",
        json.dumps({"phones": CURVE.to_json() | {"digest": 1}}),
        json.dumps({"phones": {"measure": "entropy"}}),
        json.dumps({"phones": None}),
    ],
)
def test_a_calibration_that_is_none_is_refused(bare: Path, wrong: str) -> None:
    (bare / CALIBRATION_FILE).write_text(wrong)
    with pytest.raises(FailedPrecondition, match=r"calibration\.json"):
        load_heads(resolve(str(bare)))
