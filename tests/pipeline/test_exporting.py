"""An export is whole and near to its source, or it is not there."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsvc.encoder import Fidelity
from embedsvc.encoder.onnx import Parity, Quality, read_manifest, writing
from embedsvc.encoder.onnx.graph import Graph, Weights
from embedsvc.errors import AlreadyExists, DiskFull, FailedPrecondition, ModelNotFound
from embedsvc.pipeline import exporting
from embedsvc.types import ExportFormat, Floats, Precision

NEAR = Quality(
    Precision.FP32, (Parity(3, 1e-6, 5.0, 1.0, 1.0), Parity(6, 1e-5, 6.0, 1.0, 1.0)),
    Fidelity(1.0, 1.0, 1.0, 0.0, 1.0),
)  # fmt: skip


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_the_figures_are_told_and_kept(tmp_path: Path) -> None:
    told: list[Quality] = []
    made = exporting.export("mini", tmp_path / "made", ExportFormat.ONNX, (2,), told.append)
    (quality,) = told
    assert quality.is_enough
    kept = read_manifest(tmp_path / "made")
    assert replace(kept, quality=made.quality) == made
    assert kept.quality["fidelity"] == vars(quality.fidelity)
    assert [each.layer for each in quality.layers] == [2]
    assert names(tmp_path) == ["made"]


def test_an_export_that_changes_too_much_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = writing._PRODUCTS[ExportFormat.ONNX_INT8]

    def coarse(graph: Graph, states: str, name: str, weight: Floats) -> str:
        return usual(graph, states, name, np.rint(weight * np.float32(20)) / np.float32(20))

    monkeypatch.setitem(writing._PRODUCTS, ExportFormat.ONNX_INT8, coarse)
    told: list[Quality] = []
    with pytest.raises(FailedPrecondition, match="onnx-int8 changes the vectors of mini too much"):
        exporting.export("mini", tmp_path / "made", ExportFormat.ONNX_INT8, (), told.append)
    assert not told[0].is_enough
    assert not names(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"fidelity": Fidelity(1.0, 1.0, 1.0, 0.03, 1.0)},
        {"layers": (replace(NEAR.layers[0], largest=1e-3), NEAR.layers[1])},
        {"layers": (replace(NEAR.layers[0], least_cosine=0.98), NEAR.layers[1])},
        {"layers": (replace(NEAR.layers[0], mean_cosine=0.998), NEAR.layers[1])},
        {"layers": (replace(NEAR.layers[0], largest=float("nan")), NEAR.layers[1])},
    ],
)
def test_each_figure_must_be_enough(change: dict[str, Any]) -> None:
    assert NEAR.is_enough
    assert not replace(NEAR, **change).is_enough


def test_8_bits_may_differ_where_float32_may_not() -> None:
    layers = (replace(NEAR.layers[0], largest=0.1),)
    assert replace(NEAR, layers=layers, precision=Precision.INT8).is_enough


@pytest.mark.parametrize("there", ["a file", "a full directory"])
def test_what_is_there_is_left_alone(tmp_path: Path, there: str) -> None:
    out = tmp_path / "made"
    kept = out if there == "a file" else out / "kept"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(AlreadyExists, match="must be new or an empty directory"):
        exporting.export("mini", out, ExportFormat.ONNX)
    assert kept.read_text() == "mine"
    assert names(tmp_path) == ["made"]


def test_a_model_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        exporting.export(str(tmp_path / "none"), tmp_path / "made", ExportFormat.ONNX)
    assert not names(tmp_path)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes the second weight that is written fail."""
    usual = Weights.put

    def fail(error: BaseException) -> None:
        written: list[str] = []

        def put(self: Weights, name: str, array: Any) -> Any:
            written.append(name)
            if len(written) > 1:
                raise error
            return usual(self, name, array)

        monkeypatch.setattr(Weights, "put", put)

    return fail


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EACCES, "Permission denied"), PermissionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_export_that_ends_early_leaves_nothing(
    tmp_path: Path,
    failing: Callable[[BaseException], None],
    error: BaseException,
    expected: type[BaseException],
) -> None:
    failing(error)
    with pytest.raises(expected):
        exporting.export("mini", tmp_path / "made", ExportFormat.ONNX)
    assert not names(tmp_path)
