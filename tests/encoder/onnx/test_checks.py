"""A runtime is given no file that we could not have written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from embedsvc.encoder.onnx.checks import OPERATORS, check_graph
from embedsvc.errors import FailedPrecondition
from embedsvc.types import ExportFormat
from tests.encoder.onnx.made import exported
from tests.encoder.reference import reference, save

Change = Callable[[onnx.ModelProto], object]


@pytest.fixture(scope="module")
def made(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "small"
    exported(directory, out)
    return out


def outside(model: onnx.ModelProto) -> onnx.TensorProto:
    """The first tensor whose values lie in the other file."""
    return next(
        each for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL
    )


def place(key: str, value: str) -> Change:
    """A change of what is said about where values are."""

    def change(model: onnx.ModelProto) -> None:
        for entry in outside(model).external_data:
            if entry.key == key:
                entry.value = value

    return change


def insert(node: onnx.NodeProto) -> Change:
    return lambda model: model.graph.node.append(node)


HOSTILE: dict[str, tuple[Change, str]] = {
    "a path up": (place("location", "../../../etc/passwd"), "etc/passwd"),
    "an absolute path": (place("location", "/etc/passwd"), "etc/passwd"),
    "another file": (place("location", "config.json"), "config.json"),
    "beyond the end": (place("offset", "99999999"), "beyond the end"),
    "a negative offset": (place("offset", "-4096"), "does not say where"),
    "a number without end": (place("offset", "9" * 5000), "does not say where"),
    "no number": (place("length", "many"), "does not say where"),
    "two paths": (
        lambda model: outside(model).external_data.add(key="location", value="/etc/passwd"),
        "more or less than where",
    ),
    "a place too few": (lambda model: outside(model).external_data.pop(), "more or less than"),
    "another length": (place("length", "4"), "another shape"),
    "another shape": (lambda model: outside(model).dims.append(2), "another shape"),
    "strings": (
        lambda model: setattr(outside(model), "data_type", TensorProto.STRING),
        "none of ours",
    ),
    "an operator of somebody": (
        insert(helper.make_node("Run", ["features"], ["x"], domain="com.example")),
        "com.example:Run",
    ),
    "an operator we never use": (
        insert(helper.make_node("Loop", ["features"], ["x"])),
        ":Loop",
    ),
    "a tensor inside an operator": (
        insert(
            helper.make_node(
                "Add",
                ["features"],
                ["x"],
                value=helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0]),
            )
        ),
        "more than numbers inside of 'Add'",
    ),
    "a domain": (
        lambda model: model.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
        "operators other than",
    ),
    "a newer opset": (
        lambda model: setattr(model.opset_import[0], "version", 99),
        "operators other than",
    ),
    "a function": (lambda model: model.functions.add(name="f"), "functions"),
    "training": (lambda model: model.training_info.add(), "functions or training"),
    "another output": (
        lambda model: setattr(model.graph.output[0], "name", "secret"),
        "inputs or outputs",
    ),
    "one input more": (
        lambda model: model.graph.input.add(name="more"),
        "inputs or outputs",
    ),
    "sparse weights": (lambda model: model.graph.sparse_initializer.add(), "sparse"),
}


@pytest.mark.parametrize(("change", "told"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_graph_that_is_not_ours_is_refused(
    made: Path, tmp_path: Path, change: Change, told: str
) -> None:
    directory = shutil.copytree(made, tmp_path / "made")
    model = onnx.ModelProto.FromString((directory / "model.onnx").read_bytes())
    check_graph(directory, (0, 1, 2, 3))
    change(model)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FailedPrecondition, match=told) as caught:
        check_graph(directory, (0, 1, 2, 3))
    assert caught.value.field == "model"


def test_bytes_that_are_no_graph_are_refused(made: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(made, tmp_path / "made")
    (directory / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(FailedPrecondition, match="truncated or damaged"):
        check_graph(directory, (0, 1, 2, 3))


def test_only_operators_that_some_export_uses_are_let_in(tmp_path: Path) -> None:
    used: set[str] = set()
    variants = [
        {"position_embeddings_type": positions, "hidden_act": activation}
        for positions, activation in (
            ("relative_key", "swish"),
            ("relative", "gelu"),
            ("rotary", "relu"),
        )
    ]
    for number, changes in enumerate(variants):
        source = save(reference(**changes), tmp_path / f"source{number}")
        for kind in ExportFormat:
            directory = tmp_path / f"{kind}{number}"
            exported(source, directory, kind)
            graph = onnx.load_model(directory / "model.onnx", load_external_data=False).graph
            used |= {node.op_type for node in graph.node}
    assert used == OPERATORS
