"""The commands as users give them, with as little to do as they take."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedsvc.bench.engines import LIBRARIES
from embedsvc.cli import bench_encoder
from tests.cli.program import Ended, Program


class Files:
    """Where a command writes, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self._json, self._markdown, self._plot = (
            folder / name for name in ("all.json", "tables.md", "charts.svg")
        )
        self.flags = ("--json", self._json, "--markdown", self._markdown, "--plot", self._plot)

    def check(self, ended: Ended, bench: str) -> dict[str, Any]:
        """What every command writes; its document."""
        assert ended.returncode == 0, ended.stderr
        found: dict[str, Any] = json.loads(self._json.read_text())
        assert found["bench"] == bench
        assert found["command"].startswith(f"embedsvc bench {bench} --")
        assert found["machine"]["cores"] >= 1
        assert found["versions"]["torch"]
        assert f"$ {found['command']}" in self._markdown.read_text()
        assert found["what"] in self._markdown.read_text()
        assert self._plot.read_text().startswith("<svg")
        assert found["date"] in ended.stderr
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.slow
def test_the_encoder_is_compared(main: Program, files: Files) -> None:
    ended = main(
        "bench", "encoder", "--lengths", "1", "--against", "sdpa", "--precisions", "fp32",
        "--rounds", "1", "--threads", "1", *files.flags,
    )  # fmt: skip
    found = files.check(ended, "encoder")
    cells = {cell["arm"]["name"]: cell for cell in found["result"]["cells"]}
    ours = cells["embedsvc fp32"]
    assert ours["parity"]["max_difference"] < 5e-5
    assert ours["audio_seconds"] == pytest.approx(1, abs=0.03)
    assert "times as fast as transformers sdpa fp32, padded batch" in ended.stdout


@pytest.mark.slow
def test_the_service_is_loaded(program: Program, files: Files) -> None:
    ended = program(
        "bench", "service", "--load", "0.1,2", "--seconds", "1", "--saturate", "0.5",
        "--rounds", "1", "--callers", "2", "--threads", "1", *files.flags,
    )  # fmt: skip
    found = files.check(ended, "service")
    assert "bench service --load 0.1,2" in found["command"]
    result = found["result"]
    assert [loaded["load"] for loaded in result["loaded"]] == [0.1, 2]
    for loaded in result["loaded"]:
        assert loaded["totals"]["goodput"] > 0
        sizes = [size for _, size in loaded["memory"]]
        assert min(sizes) > 50 * 2**20
        assert loaded["client_cpu"] > 0
        assert loaded["server_cpu"] > 0
    saturated = result["saturated"]
    assert saturated["codes"].keys() == {"OK"}
    assert saturated["client_cpu"] > 0
    assert saturated["server_cpu"] > 0
    service = saturated["paces"]["service"]["median"]
    for part in ("encoder alone", "features and encoder"):
        expected = service / saturated["paces"][part]["median"]
        assert saturated["shares"][part]["median"] == pytest.approx(expected, rel=1e-4)


def test_a_server_elsewhere_is_loaded(main: Program, target: str, files: Files) -> None:
    ended = main(
        "bench", "service", "--target", target, "--rate", "5", "--seconds", "0.5",
        "--saturate", "0.3", "--rounds", "1", *files.flags,
    )  # fmt: skip
    found = files.check(ended, "service")
    (loaded,) = found["result"]["loaded"]
    assert loaded["rate"] == 5
    assert f"the server at {target}" in found["what"]


@pytest.mark.slow
def test_live_streams_are_timed(main: Program, files: Files) -> None:
    asked = ("--streams", "2", "--interval", "1", "--lookahead", "0.4", "--seconds", "2")
    ended = main("bench", "streams", *asked, *files.flags)
    found = files.check(ended, "streams")
    one, other = found["result"]["capacities"]
    assert one["way"].startswith("recompute")
    assert other["loads"][0]["delay"]["p95"] > 0.4
    assert found["result"]["offline"] > 0


def test_the_index_is_searched(main: Program, files: Files) -> None:
    ended = main(
        "bench", "search", "--vectors", "600", "--dim", "16", "--queries", "5", "--rounds", "1",
        *files.flags,
    )  # fmt: skip
    found = files.check(ended, "search")
    (ours,) = found["result"]["engines"]
    shares = [row["share"] for row in ours["rows"]]
    assert shares == [1, 0.5, 0.1, 0.01, 0.001]
    assert "600 vectors of 16" in ended.stdout


def test_vectors_of_a_file_are_searched(main: Program, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", vectors=np.random.default_rng(0).standard_normal((50, 8)))
    ended = main(
        "bench", "search", "--npz", tmp_path / "mine.npz", "--queries", "4", "--rounds", "1"
    )
    assert ended.returncode == 0, ended.stderr
    assert "46 vectors of 8; from mine.npz" in ended.stdout


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "required: WHAT"),
        (("encoder", "--against", "tensorrt"), "`--against` must be of eager, sdpa"),
        (("encoder", "--precisions", "fp4"), "`--precisions` must be of fp32, bf16, int8"),
        (("encoder", "--lengths", "5,long"), "`--lengths` must be mixed or seconds"),
        (("encoder", "--lengths", "-5"), "`--lengths` must be mixed or seconds"),
        (("encoder", "--rounds", "0"), "must be at least 1"),
        (("encoder", "--layers", "2"), "`--layers` must go with --model random-580m"),
        (("service", "--load", "0"), "must be above 0"),
        (("service", "--load", "1", "--rate", "1"), "not allowed with"),
        (("service", "--target", "localhost:9", "--model", "x"), "must be left to the server"),
        (("service", "--target", "127.0.0.1:9"), "at 127.0.0.1:9 answers UNAVAILABLE"),
        (("service", "--model", "nothing-like-that"), "the server ended with code 1"),
        (("search", "--dim", "8", "--npz", "a"), "not allowed with"),
        (("search", "--npz", "nowhere.npz"), "must hold an array `vectors`"),
    ],
)
def test_what_can_not_be_done_is_said(main: Program, flags: tuple[str, ...], told: str) -> None:
    ended = main("bench", *flags)
    assert ended.returncode in {1, 2}
    assert told in ended.stderr


def test_the_libraries_of_the_command_are_those_there_are() -> None:
    assert ("embedsvc", *bench_encoder.AGAINST) == tuple(LIBRARIES)
    known = {precision for library in LIBRARIES.values() for precision in library.precisions}
    assert set(bench_encoder.PRECISIONS) == known


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(main: Program) -> None:
    ended = main("bench", "encoder", "--device", "cuda")
    assert ended.returncode == 1
    assert "`device` 'cuda' needs a GPU" in ended.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_encoder_is_compared_on_a_gpu(main: Program, files: Files) -> None:
    ended = main(
        "bench", "encoder", "--device", "cuda", "--against", "sdpa", "--precisions", "fp32,bf16",
        "--clips", "4", "--rounds", "1", *files.flags,
    )  # fmt: skip
    found = files.check(ended, "encoder")
    assert "of matrix rate" in ended.stdout
    for cell in found["result"]["cells"]:
        assert cell["arm"]["matrix_rate"] > 1e12
        assert cell["parity"]["least_cosine"] > 0.98
