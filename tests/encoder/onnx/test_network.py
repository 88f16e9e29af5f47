"""The graph gives what the encoder gives, to whoever runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.onnx import load_exported
from embedsvc.types import ExportFormat
from tests.encoder.onnx.made import CLIP, exported, padded, session, states
from tests.encoder.reference import reference, save, utterance, whole
from tests.encoder.test_model import REAL, SHAPES

EXACT = 5e-5
ALIKE = 2e-5
LENGTHS = (1, 2, 37, 129, 255, 300)


@pytest.fixture(scope="module")
def made(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint, exported with every layer."""
    out = tmp_path_factory.mktemp("exports") / "small"
    exported(directory, out)
    return out


@pytest.fixture(scope="module")
def exact(made: Path) -> Any:
    return session(made)


@pytest.fixture(scope="module")
def small(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small checkpoint in 8 bits."""
    out = tmp_path_factory.mktemp("exports") / "int8"
    exported(directory, out, ExportFormat.ONNX_INT8)
    return session(out)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_every_hidden_state_is_that_of_the_encoder(changes: Any, tmp_path: Path) -> None:
    source = save(reference(**changes), tmp_path / "source")
    exported(source, tmp_path / "made")
    onnx.checker.check_model(tmp_path / "made" / "model.onnx", full_check=True)
    made, encoder = session(tmp_path / "made"), Encoder.load(resolve(str(source)))
    utterances = [utterance(length) for length in LENGTHS]
    batches = [utterances, utterances[:2], utterances[:1], utterances[2:3]]
    answers = encoder.encode(utterances, [whole(each, 0, 1, 2, 3) for each in utterances])
    expected = dict(zip(map(len, utterances), answers, strict=True))
    for batch in batches:  # one session takes all of them
        for each, layers in zip(batch, states(made, batch), strict=True):
            for layer, found in enumerate(layers):
                wanted = expected[len(each)].frames[layer]
                np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    filling=st.sampled_from([0.0, 1.0, -1e30, float("inf"), float("nan")]),
)
def test_neither_mates_nor_padding_change_an_utterance(
    exact: Any, lengths: list[int], filling: float
) -> None:
    utterances = [utterance(length, seed) for seed, length in enumerate(lengths)]
    for each, together in zip(utterances, states(exact, utterances, filling), strict=True):
        (alone,) = states(exact, [each])
        np.testing.assert_allclose(together[3], alone[3], rtol=0, atol=ALIKE)


@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=2, max_size=4))
def test_a_loud_mate_changes_nothing_in_8_bits_either(small: Any, lengths: list[int]) -> None:
    utterances = [utterance(length, seed) for seed, length in enumerate(lengths)]
    given = padded(utterances, filling=1e6)
    given["features"][1:] *= 1e3
    (alone,) = states(small, utterances[:1])
    together = small.run(["layer_3"], given)[0][0, : lengths[0]]
    # A value that falls between two steps may be rounded either way.
    np.testing.assert_allclose(together, alone[3], rtol=0, atol=0.05)


def test_what_stands_past_the_end_comes_out_as_zeros(exact: Any) -> None:
    given = padded([utterance(5), utterance(9)], filling=float("nan"))
    for output in exact.run(None, given):
        assert np.isfinite(output).all()
        assert not output[0, 5:].any()


def test_an_utterance_without_frames_harms_nobody(exact: Any) -> None:
    given = padded([utterance(7), utterance(7)], filling=0.0)
    given["lengths"][0] = 0
    (alone,) = states(exact, [utterance(7)])
    found = exact.run(["layer_3"], given)[0]
    assert not found[0].any()
    np.testing.assert_allclose(found[1], alone[3], rtol=0, atol=ALIKE)


def test_weights_are_the_very_values_of_the_checkpoint(model: Any, made: Path) -> None:
    graph = onnx.load_model(made / "model.onnx").graph
    found = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    expected = {name: each.numpy() for name, each in model.state_dict().items()}
    del expected["masked_spec_embed"]
    for name, values in expected.items():
        same = found[name].reshape(-1), found[name].T.reshape(-1)
        flat = values.reshape(-1)
        assert any(np.array_equal(flat, each) for each in same), name


def test_the_graph_ends_after_the_deepest_layer(directory: Path, tmp_path: Path) -> None:
    manifest = exported(directory, tmp_path, ExportFormat.ONNX, 1)
    graph = onnx.load_model(tmp_path / "model.onnx").graph
    assert [each.name for each in graph.output] == ["layer_1"]
    assert not [each.name for each in graph.initializer if "layers.1" in each.name]
    everything = exported(directory, tmp_path)
    assert manifest.parameters < everything.parameters
    assert everything.parameters == Encoder.load(resolve(str(directory))).parameters


def test_8_bits_take_a_quarter_of_the_room(tmp_path: Path) -> None:
    sizes = {"hidden_size": 192, "output_hidden_size": 192, "intermediate_size": 768}
    source = save(reference(**sizes), tmp_path / "source")
    for kind in ExportFormat:
        exported(source, tmp_path / kind, kind)
    exact, small = ((tmp_path / kind / "model.onnx.data").stat().st_size for kind in ExportFormat)
    assert small < 0.3 * exact


@pytest.mark.slow
def test_the_real_size_which_no_single_file_can_hold_is_exact(tmp_path: Path) -> None:
    source = save(reference(**REAL), tmp_path / "source")
    exported(source, tmp_path / "made", ExportFormat.ONNX, 16, 24)
    assert (tmp_path / "made" / "model.onnx.data").stat().st_size > 2**31
    onnx.checker.check_model(tmp_path / "made" / "model.onnx")
    encoder = Encoder.load(resolve(str(source)))
    made = load_exported(tmp_path / "made", CLIP)
    for frames in map(utterance, (1, 50, 300)):
        expected, found = (
            each.encode([frames], [whole(frames, 16, 24)])[0] for each in (encoder, made)
        )
        for layer in (16, 24):
            np.testing.assert_allclose(
                found.frames[layer], expected.frames[layer], rtol=0, atol=EXACT
            )
