"""Padded batches give what packed ones and the reference give; on a processor, uncompiled."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention

from embedsvc.encoder import Encoder, in_precision, resolve
from embedsvc.encoder.layers import Block, Network
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.padded import PACKED, PaddedNetwork, on_gpu, tried
from embedsvc.encoder.padded.blocks import step
from embedsvc.encoder.padded.graphs import Work
from embedsvc.encoder.padded.network import Step, compiled
from embedsvc.errors import FailedPrecondition
from embedsvc.pipeline import loading
from embedsvc.types import Frames, Precision
from tests.encoder.reference import reference, save, states_of, utterance, whole

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")

EXACT = 5e-5
LENGTHS = (300, 37, 129, 1, 290, 128, 35, 256)
PUBLISHED = {
    "conv_depthwise_kernel_size": 31,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
}


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention as it is written, since even its plain form is compiled otherwise, for seconds."""
    monkeypatch.setattr(flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def padded(encoder: Encoder, advance: Step = step, *, captures: bool = False) -> Encoder:
    """The same encoder with padded batches; a capture is the work itself."""
    assert isinstance(encoder.network, Network)
    capture = (lambda work: work) if captures else None
    return replace(encoder, network=PaddedNetwork.of(encoder.network, advance, capture))


def rowed(network: Network) -> Network:
    """Weights in rows, as they are where there is no oneDNN: what a compiler can follow."""

    def plain(part: Linear) -> Linear:
        return Linear(part.rows(), part.bias)

    def turned(block: Block) -> Block:
        return replace(
            block,
            first=replace(
                block.first, inner=plain(block.first.inner), outer=plain(block.first.outer)
            ),
            attention=replace(
                block.attention,
                parts=tuple(map(plain, block.attention.parts)),
                output=plain(block.attention.output),
            ),
            convolution=replace(
                block.convolution,
                gate=plain(block.convolution.gate),
                outer=plain(block.convolution.outer),
            ),
            second=replace(
                block.second, inner=plain(block.second.inner), outer=plain(block.second.outer)
            ),
        )

    return replace(network, blocks=tuple(map(turned, network.exact_blocks())))


@pytest.mark.parametrize(
    "changes",
    [
        PUBLISHED,
        {"left_max_position_embeddings": 2, "right_max_position_embeddings": 40},
        {"position_embeddings_type": None, "hidden_act": "gelu"},
        {"position_embeddings_type": "rotary", "conv_depthwise_kernel_size": 1},
    ],
    ids=["published", "more ahead than behind", "no positions", "rotary"],
)
def test_every_hidden_state_is_that_of_the_reference(changes: Any, tmp_path: Path) -> None:
    model = reference(**changes)
    ours = padded(Encoder.load(resolve(str(save(model, tmp_path)))))
    utterances = [utterance(length) for length in LENGTHS]
    answers = ours.encode(utterances, [whole(each, 0, 1, 2, 3) for each in utterances])
    for each, answer in zip(utterances, answers, strict=True):
        for layer, states in enumerate(states_of(model, each)):
            np.testing.assert_allclose(answer.frames[layer], states, rtol=0, atol=EXACT)


def test_padding_changes_no_frame(encoder: Encoder) -> None:
    ours = padded(encoder)
    utterances = [utterance(length) for length in (64, 50, 63, 49)]
    together = ours.encode(utterances, [whole(each, 3) for each in utterances])
    for each, joint in zip(utterances, together, strict=True):
        (alone,) = ours.encode([each], [whole(each, 3)])
        np.testing.assert_allclose(alone.frames[3], joint.frames[3], rtol=0, atol=2e-5)


def test_nothing_behind_an_utterance_reaches_it(encoder: Encoder) -> None:
    assert isinstance(encoder.network, Network)
    block = next(encoder.network.exact_blocks())
    lengths = torch.tensor([5, 140, 128])
    states = torch.randn(3, 144, encoder.dim, generator=torch.Generator().manual_seed(0))
    real = torch.arange(144) < lengths[:, None]
    with torch.inference_mode():
        once = step(block, states, lengths)
        other = step(block, torch.where(real[..., None], states, 50 - states), lengths)
    torch.testing.assert_close(once[real], other[real], rtol=0, atol=0)


def test_moments_are_those_of_packed_batches(encoder: Encoder) -> None:
    utterances = [utterance(length) for length in LENGTHS]
    asks = [whole(each, 1, 3) for each in utterances]
    expected, found = (each.encode(utterances, asks) for each in (encoder, padded(encoder)))
    for packed, ours in zip(expected, found, strict=True):
        for layer in (1, 3):
            first, second = packed.moments[layer][0], ours.moments[layer][0]
            assert first.count == second.count
            np.testing.assert_allclose(first.mean, second.mean, rtol=0, atol=EXACT)


def test_a_pass_ends_after_the_deepest_layer_asked_for(encoder: Encoder) -> None:
    blocks = []

    def advance(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
        blocks.append(block)
        return step(block, states, lengths)

    ours = padded(encoder, advance)
    frames = utterance(20)
    ours.encode([frames], [whole(frames, 0)])
    assert len(blocks) == 0
    ours.encode([frames], [whole(frames, 2)])
    assert len(blocks) == 2


def test_captured_passes_give_the_same(encoder: Encoder) -> None:
    ours = padded(encoder, captures=True)
    utterances = [utterance(length) for length in LENGTHS]
    asks = [whole(each, 0, 2, 3) for each in utterances]
    expected = encoder.encode(utterances, asks)
    for _ in range(5):
        for answer, right in zip(ours.encode(utterances, asks), expected, strict=True):
            for layer in (0, 2, 3):
                np.testing.assert_allclose(
                    answer.frames[layer], right.frames[layer], rtol=0, atol=EXACT
                )
    assert isinstance(ours.network, PaddedNetwork)
    assert ours.network.graphs is not None
    assert ours.network.graphs.captured == 4


def test_one_compiled_block_is_for_all_blocks_and_shapes(directory: Path) -> None:
    encoder = Encoder.load(resolve(str(directory)))
    assert isinstance(encoder.network, Network)
    encoder = replace(encoder, network=rowed(encoder.network))
    torch._dynamo.utils.counters.clear()
    ours = padded(encoder, compiled("aot_eager"))
    for lengths in ((300, 280), (150, 130, 145), (140, 130, 135, 132)):
        utterances = [utterance(length) for length in lengths]
        asks = [whole(each, 3) for each in utterances]
        expected = encoder.encode(utterances, asks)
        for answer, right in zip(ours.encode(utterances, asks), expected, strict=True):
            np.testing.assert_allclose(answer.frames[3], right.frames[3], rtol=0, atol=EXACT)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_what_works_is_taken_and_told(encoder: Encoder) -> None:
    ours = padded(encoder, captures=True)
    assert isinstance(ours.network, PaddedNetwork)
    network, how = tried(ours.network)
    assert network is ours.network
    assert how == "padded; cosine at least 1.000000 to packed; 4 shapes captured"


def test_a_failed_capture_is_told(encoder: Encoder) -> None:
    def broken(work: Work) -> Work:
        raise RuntimeError("this driver can not")

    assert isinstance(encoder.network, Network)
    network = PaddedNetwork.of(encoder.network, step, broken)
    with pytest.warns(RuntimeWarning, match="this driver can not"):
        chosen, how = tried(network)
    assert chosen is network
    assert how.endswith("to packed; no CUDA graphs: RuntimeError: this driver can not")


def test_what_fails_is_not_taken_and_told(encoder: Encoder) -> None:
    def broken(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
        raise OSError("no compiler here\nat all")

    def wrong(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
        return step(block, states, lengths + 3)

    def nothing(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
        return states * torch.nan

    told = {
        broken: "packed: padded batches failed, OSError: no compiler here",
        wrong: "packed: padded batches differ, cosine 0.",
        nothing: "packed: padded batches differ, cosine nan",
    }
    for advance, reason in told.items():
        network = padded(encoder, advance).network
        assert isinstance(network, PaddedNetwork)
        chosen, how = tried(network)
        assert chosen is encoder.network
        assert how.startswith(reason)


def test_other_positions_stay_packed(tmp_path: Path) -> None:
    model = reference(position_embeddings_type="relative")
    encoder = Encoder.load(resolve(str(save(model, tmp_path, position_embeddings_type="relative"))))
    assert isinstance(encoder.network, Network)
    network, how = on_gpu(encoder.network)
    assert network is encoder.network
    assert how == f"{PACKED}: its blocks are not those of published models"


@pytest.fixture(scope="module")
def probe() -> list[Frames]:
    return loading.probe()


def test_the_precision_gate_is_for_padded_batches_too(probe: list[Frames]) -> None:
    mini = padded(loading.load("mini"))
    reduced = in_precision(mini, Precision.BF16, probe[:2])
    assert isinstance(reduced.network, PaddedNetwork)
    assert reduced.how.startswith("padded; cosine at least 0.99")
    assert reduced.why.startswith("asked for; cosines to fp32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_a_gpu_gives_what_a_processor_gives(probe: list[Frames], precision: Precision) -> None:
    mini, ours = loading.load("mini"), loading.load("mini", device="cuda", wanted=precision)
    assert isinstance(ours.network, PaddedNetwork), ours.how
    assert "captured" in ours.how
    asks = [whole(each, mini.layers) for each in probe]
    least = 0.9999 if precision is Precision.FP32 else 0.99
    expected = mini.encode(probe, asks)
    for _ in range(4):
        for right, answer in zip(expected, ours.encode(probe, asks), strict=True):
            first, second = (each.frames[mini.layers] for each in (right, answer))
            cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1)
            assert (cosines / np.linalg.norm(second, axis=1)).min() > least


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_has_no_integers(directory: Path) -> None:
    with pytest.raises(FailedPrecondition, match="int8 is for `device` cpu"):
        Encoder.load(resolve(str(directory)), device="cuda").at(Precision.INT8)
