import json
from pathlib import Path

import pytest

from embedsvc.ctc import Calibration
from embedsvc.encoder import resolve
from embedsvc.encoder.ctc import CtcHead, load_heads
from embedsvc.encoder.ctc.calibrations import CALIBRATION_FILE, read_calibrations, written
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
    (bare / CALIBRATION_FILE).write_bytes(written("other", CURVE, bare))
    assert only(bare).calibration == Calibration()
    (bare / CALIBRATION_FILE).write_bytes(written("phones", CURVE, bare))
    assert read_calibrations(bare) == {"other": CURVE, "phones": CURVE}
    assert only(bare).calibration == CURVE
    assert only(bare).info.calibration == CURVE.method


def test_the_bundled_heads_are_calibrated() -> None:
    for head in load_heads(resolve("mini")):
        assert "isotonic" in head.info.calibration == head.calibration.method
        assert 0 < head.calibration.told[0] < head.calibration.told[-1] < 1


@pytest.mark.parametrize(
    "wrong",
    ["[]", "{", json.dumps({"phones": {"measure": "entropy"}}), json.dumps({"phones": None})],
)
def test_a_calibration_that_is_none_is_refused(bare: Path, wrong: str) -> None:
    (bare / CALIBRATION_FILE).write_text(wrong)
    with pytest.raises(FailedPrecondition, match=r"calibration\.json"):
        load_heads(resolve(str(bare)))
