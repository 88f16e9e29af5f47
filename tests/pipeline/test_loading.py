"""An encoder as a server wants it."""

import pytest

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
