"""An exported model stands where a checkpoint stands."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.onnx import load_exported
from embedsvc.errors import EmbedsvcError, FailedPrecondition, InvalidArgument
from embedsvc.types import Ask, ExportFormat, OutputSpec, Pooling, Precision, Runtime, Windowing
from tests.encoder.onnx.made import CLIP, exported
from tests.encoder.reference import utterance, whole


@pytest.fixture(scope="module")
def made(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers 2, the default one, and 3, the last."""
    out = tmp_path_factory.mktemp("exports") / "small"
    exported(directory, out, ExportFormat.ONNX, 2, 3)
    return out


@pytest.fixture(scope="module")
def loaded(made: Path) -> Encoder:
    return load_exported(made, CLIP, threads=1)


def test_it_gives_the_vectors_of_its_source_in_their_space(
    encoder: Encoder, loaded: Encoder
) -> None:
    utterances = [utterance(length) for length in (1, 2, 61, 300)]
    asks = [whole(each, 2, 3) for each in utterances]
    for ours, theirs in zip(
        encoder.encode(utterances, asks), loaded.encode(utterances, asks), strict=True
    ):
        assert list(theirs.frames) == [2, 3]
        for layer in (2, 3):
            np.testing.assert_allclose(theirs.frames[layer], ours.frames[layer], rtol=0, atol=5e-5)
    assert loaded.plan(OutputSpec(), Windowing()) == encoder.plan(OutputSpec(), Windowing())


def test_it_says_what_it_is(encoder: Encoder, loaded: Encoder) -> None:
    assert (loaded.name, loaded.weights, loaded.dim) == (encoder.name, encoder.weights, encoder.dim)
    assert (loaded.layers, loaded.available) == (3, (2, 3))
    assert loaded.parameters == encoder.parameters
    assert (loaded.runtime, loaded.precision) == (Runtime.ONNXRUNTIME, Precision.FP32)
    assert (encoder.runtime, list(encoder.available)) == (Runtime.TORCH, [0, 1, 2, 3])


def test_a_pass_may_give_nothing_or_the_shallower_layer_only(loaded: Encoder) -> None:
    frames = utterance(20)
    loaded.warm_up()
    assert loaded.encode([], []) == []
    answers = loaded.encode([frames, frames], [Ask(()), whole(frames, 2)])
    assert [list(answer.frames) for answer in answers] == [[], [2]]
    assert [list(loaded.encode([frames], [Ask(())])[0].moments)] == [[]]


@pytest.mark.parametrize("layer", [0, 1, -3])
def test_a_layer_that_was_not_exported_is_refused(loaded: Encoder, layer: int) -> None:
    with pytest.raises(FailedPrecondition, match=r"exported \(2, 3\), but is [01]") as caught:
        loaded.plan(OutputSpec(layer=layer, pooling=Pooling.MEAN), Windowing())
    assert caught.value.field == "layer"
    assert loaded.resolve_layer(-1) == 3
    with pytest.raises(InvalidArgument, match="from -4 to 3"):
        loaded.resolve_layer(4)


def test_asking_for_a_state_that_is_not_there_is_a_bug(loaded: Encoder) -> None:
    with pytest.raises(ValueError, match="must be of"):
        loaded.encode([utterance(5)], [Ask((1,))])


def test_its_precision_stays(loaded: Encoder) -> None:
    with pytest.raises(FailedPrecondition, match="export it anew"):
        loaded.at(Precision.BF16)


def test_without_its_default_layer_it_takes_the_deepest(directory: Path, tmp_path: Path) -> None:
    manifest = exported(directory, tmp_path, ExportFormat.ONNX, 0, 1)
    shallow = Encoder.load(resolve(str(directory)))
    shallow = replace(shallow, defaults=replace(shallow.defaults, layer=1))
    from embedsvc.encoder.onnx import default_vector

    vector = tuple(map(float, default_vector(shallow, CLIP)))
    replace(manifest, vector=vector).write(tmp_path)
    loaded = load_exported(tmp_path, CLIP)
    assert loaded.defaults.layer == 1
    assert loaded.plan(OutputSpec(), Windowing()).layer == 1


def test_8_bits_are_served_as_such(directory: Path, tmp_path: Path) -> None:
    exported(directory, tmp_path, ExportFormat.ONNX_INT8)
    assert load_exported(tmp_path, CLIP).precision is Precision.INT8


def test_a_checkpoint_is_not_an_export_and_the_reverse(directory: Path, made: Path) -> None:
    with pytest.raises(InvalidArgument, match="embedsvc models export"):
        load_exported(directory, CLIP)
    with pytest.raises(FailedPrecondition, match="--runtime onnxruntime"):
        resolve(str(made))


def test_a_machine_that_gives_other_vectors_is_told(made: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(made, tmp_path / "made")
    values = json.loads((directory / "onnx.json").read_text())
    values["vector"] = values["vector"][::-1]
    (directory / "onnx.json").write_text(json.dumps(values))
    with pytest.raises(FailedPrecondition, match="does not on this machine"):
        load_exported(directory, CLIP)


def cut(directory: Path) -> None:
    os.truncate(directory / "model.onnx.data", 5000)


def flip(directory: Path) -> None:
    data = bytearray((directory / "model.onnx.data").read_bytes())
    data[100] ^= 1
    (directory / "model.onnx.data").write_bytes(data)


def link(directory: Path) -> None:
    moved = directory.parent / "elsewhere"
    shutil.move(directory / "model.onnx.data", moved)
    (directory / "model.onnx.data").symlink_to(moved)


def lose(directory: Path) -> None:
    (directory / "model.onnx").unlink()


def said(**changes: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        values = json.loads((directory / "onnx.json").read_text()) | changes
        (directory / "onnx.json").write_text(json.dumps(values))

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (cut, "not those that were exported"),
        (flip, "not those that were exported"),
        (link, "not a file of its directory"),
        (lose, "not a file of its directory"),
        (said(format="pickle"), "sound `format`"),
        (said(format=["onnx"]), "sound `format`"),
        (said(opset=99), "sound `opset`"),
        (said(layers=[]), "sound `layers`"),
        (said(layers=[3, 2]), "sound `layers`"),
        (said(layers=[2, 9]), "layer 9 of 3"),
        (said(layers=[3]), "inputs or outputs"),
        (said(model=""), "sound `model`"),
        (said(weights=None), "sound `weights`"),
        (said(parameters=True), "sound `parameters`"),
        (said(files={}), "sound `files`"),
        (said(quality=0), "sound `quality`"),
        (said(vector=["a"]), "sound `vector`"),
        (said(vector=[1.0]), "does not on this machine"),
    ],
)
def test_a_damaged_export_is_told(
    made: Path, tmp_path: Path, change: Callable[[Path], None], told: str
) -> None:
    directory = shutil.copytree(made, tmp_path / "made")
    change(directory)
    with pytest.raises(EmbedsvcError, match=told):
        load_exported(directory, CLIP)
