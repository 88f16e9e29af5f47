"""Libraries that need not be installed, on one layer of real size."""

from pathlib import Path

import numpy as np
import pytest

from embedsvc.bench import models
from embedsvc.bench.engines import LIBRARIES, Shows, Worker, jobs
from embedsvc.bench.parity import every_second_normalized, parity
from embedsvc.types import Floats

OTHERS = ("ctranslate2", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("model") / "one", 1)


def states(
    library: str, model: Path, scratch: Path, utterances: list[Floats]
) -> tuple[list[Floats], Shows]:
    (job,) = jobs([library], ["fp32"], model, scratch, 1)
    with Worker(job) as worker:
        arm = worker.arms[0]
        return worker.run(arm.name, utterances).states, arm.shows


@pytest.mark.parametrize("library", OTHERS)
def test_in_float32_all_give_the_same_states(library: str, model: Path, tmp_path: Path) -> None:
    if missing := LIBRARIES[library].missing:
        pytest.skip(f"not installed: {missing}")
    generator = np.random.default_rng(0)
    utterances = [generator.standard_normal((size, 160), np.float32) for size in (37, 80)]
    expected, _ = states("embedsvc", model, tmp_path, utterances)
    found, shows = states(library, model, tmp_path, utterances)
    if shows is Shows.HALF:
        expected = [every_second_normalized(each) for each in expected]
    assert parity(expected, found).max_difference < 5e-5
