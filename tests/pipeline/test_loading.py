"""An encoder as a server wants it."""

from pathlib import Path

import numpy as np
import pytest

from embedsvc.encoder import write_projections
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.pipeline import loading
from embedsvc.types import Precision


def test_a_probe_is_speech_of_a_dozen_languages() -> None:
    probe = loading.probe()
    assert len(probe) == loading.PROBE_CLIPS
    assert 20 < sum(map(len, probe)) / 50 < 120


def test_an_encoder_is_exact_unless_asked_otherwise() -> None:
    encoder = loading.load("mini")
    assert (encoder.precision, encoder.why) == (Precision.FP32, "exact")
    assert loading.load("mini", wanted=Precision.BF16).precision is Precision.BF16


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises((InvalidArgument, FailedPrecondition)):
        loading.load("mini", device="toaster")


def test_projections_of_a_file_come_on_top(tmp_path: Path) -> None:
    path = tmp_path / "more.safetensors"
    zeros, ones = np.zeros(192, np.float32), np.ones(192, np.float32)
    write_projections(path, {"mine/layer3/mean/mean": zeros, "mine/layer3/mean/scale": ones})
    encoder = loading.load("mini", projections=path)
    assert {name for name, _, _ in encoder.projections.each} >= {"mine", "whitened"}
    with pytest.raises(FailedPrecondition, match="not there"):
        loading.load("mini", projections=tmp_path / "none.safetensors")
