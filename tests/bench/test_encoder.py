from pathlib import Path

import pytest

from embedsvc.bench import encoder
from embedsvc.bench.encoder import Comparison
from embedsvc.bench.engines import LIBRARIES, jobs
from embedsvc.encoder import resolve
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Precision

OURS, PADDED, ALONE = (
    "embedsvc fp32",
    "transformers sdpa fp32, padded batch",
    "transformers sdpa fp32, one by one",
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """`mini` of ours and of transformers; CTranslate2 can not run it, installed or not."""
    asked = jobs(
        ["embedsvc", "sdpa", "ctranslate2"],
        ["fp32"],
        resolve("mini").directory,
        tmp_path_factory.mktemp("scratch"),
        1,
    )
    return encoder.compare(asked, encoder.cases(["1", "mixed"], 2), 2, lambda _: None)


def test_a_batch_goes_both_ways_and_one_utterance_one_way(compared: Comparison) -> None:
    found = [(cell.case, cell.arm.name) for cell in compared.cells]
    mixed = "2 of 2-20 s"
    assert found == [
        ("1 s", PADDED),
        ("1 s", OURS),
        (mixed, PADDED),
        (mixed, OURS),
        (mixed, ALONE),
    ]


def test_ours_gives_what_transformers_gives(compared: Comparison) -> None:
    for cell in compared.cells:
        assert cell.parity.max_difference <= 5e-5
        assert cell.parity.least_cosine > 0.999999


def test_everybody_is_measured_by_transformers(compared: Comparison) -> None:
    assert compared.reference == PADDED
    for cell in compared.cells:
        assert cell.speed == pytest.approx(cell.audio_seconds / cell.seconds.median)
        if cell.arm.name == PADDED:
            assert (cell.ratio.low, cell.ratio.high, cell.parity.max_difference) == (1, 1, 0)


def test_a_pass_takes_memory_beyond_the_weights(compared: Comparison) -> None:
    batch = [cell for cell in compared.cells if cell.case != "1 s"]
    assert all(cell.peak > 2**20 for cell in batch)
    assert all(cell.arm.weights > 20 * 2**20 for cell in batch)


def test_who_can_not_take_part_is_told_with_the_reason(compared: Comparison) -> None:
    ((name, why),) = compared.skipped
    assert name == "ctranslate2 fp32"
    assert "not installed" in why or "must have 1024 dimensions" in why


def test_without_anybody_there_is_nothing_to_compare(tmp_path: Path) -> None:
    asked = jobs(["embedsvc"], ["fp32"], tmp_path / "nowhere", tmp_path, 1)
    with pytest.raises(FailedPrecondition, match="no engine can run"):
        encoder.compare(asked, encoder.cases(["1"], 1), 1, lambda _: None)


def test_a_library_gets_the_precisions_it_can_run(tmp_path: Path) -> None:
    asked = jobs(list(LIBRARIES), ["fp32", "bf16", "int8"], tmp_path, tmp_path, 1)
    found = {(job.library, job.precision) for job in asked}
    assert ("eager", "bf16") not in found
    assert {("ctranslate2", "int8"), ("openvino", "bf16"), ("embedsvc", "bf16")} <= found
    ours = {precision for library, precision in found if library == "embedsvc"}
    assert ours == set(Precision) - {Precision.AUTO}


def test_a_case_knows_its_audio_and_its_padding() -> None:
    single, mixed = encoder.cases(["2.5", "mixed"], 4)
    assert single.name == "2.5 s"
    assert single.seconds == pytest.approx(2.5, abs=0.03)
    assert single.padding == 0
    assert 0 < mixed.padding < 1
