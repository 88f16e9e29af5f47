"""Smaller numbers serve where they change next to nothing, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedsvc.encoder import Encoder, Fidelity, fidelity, in_precision
from embedsvc.encoder.layers import Block, Network
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.precision import ENOUGH, LEAST_GAIN
from embedsvc.errors import FailedPrecondition
from embedsvc.pipeline import loading
from embedsvc.types import Ask, Frames, Precision

OUTLIER = 1_000.0


@pytest.fixture(scope="module")
def mini() -> Encoder:
    return loading.load("mini")


@pytest.fixture(scope="module")
def probe() -> list[Frames]:
    return loading.probe()


def with_outliers(encoder: Encoder) -> Encoder:
    """An encoder whose values ride on large ones that cancel: bfloat16 sees only these."""

    def shifted(block: Block) -> Block:
        inner, outer = block.first.inner, block.first.outer
        assert inner.bias is not None
        assert outer.bias is not None
        inner = Linear(inner.weight, inner.bias + OUTLIER)
        rows = outer.weight.to_dense()
        outer = Linear(outer.weight, outer.bias - OUTLIER * rows.sum(dim=1))
        return replace(block, first=replace(block.first, inner=inner, outer=outer))

    assert isinstance(encoder.network, Network)
    blocks = tuple(shifted(block) for block in encoder.network.exact_blocks())
    return replace(encoder, network=replace(encoder.network, blocks=blocks))


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_mini_is_nearly_the_same_in_smaller_numbers(
    mini: Encoder, probe: list[Frames], precision: Precision
) -> None:
    reduced = in_precision(mini, precision, probe)
    assert (reduced.precision, mini.precision) == (precision, Precision.FP32)
    found = fidelity(mini, reduced, probe)
    assert found.is_enough
    assert 0.999 < found.least_frame <= found.mean_frame < 1.0
    assert reduced.why == f"asked for; {found}"


def test_an_encoder_is_the_same_as_itself(mini: Encoder, probe: list[Frames]) -> None:
    found = fidelity(mini, mini, probe)
    for cosine in (found.least_frame, found.mean_frame, found.least_pooled):
        assert cosine == pytest.approx(1.0, abs=1e-5)
    assert found.most_score == 0.0


def test_bfloat16_is_half_as_large_and_answers_in_float32(
    mini: Encoder, probe: list[Frames]
) -> None:
    reduced = mini.at(Precision.BF16)
    assert isinstance(reduced.network, Network)
    for block in reduced.network.exact_blocks():
        for linear in (block.first.inner, block.attention.parts[0], block.convolution.gate):
            assert linear.weight.dtype == torch.bfloat16
        assert block.convolution.kernel.dtype == block.norm.weight.dtype == torch.float32
    (answer,) = reduced.encode(probe[:1], [Ask((0, reduced.layers), (0, 5))])
    assert {states.dtype for states in answer.frames.values()} == {np.dtype(np.float32)}


def test_batch_mates_do_not_matter_in_bfloat16(mini: Encoder, probe: list[Frames]) -> None:
    reduced = mini.at(Precision.BF16)
    asks = [Ask((reduced.layers,), (0, len(frames))) for frames in probe]
    together = reduced.encode(probe, asks)
    for frames, ask, joint in zip(probe, asks, together, strict=True):
        (alone,) = reduced.encode([frames], [ask])
        first, second = alone.frames[reduced.layers], joint.frames[reduced.layers]
        cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1)
        assert (cosines / np.linalg.norm(second, axis=1)).min() > 0.9995


def test_a_model_that_changes_too_much_is_not_served(mini: Encoder, probe: list[Frames]) -> None:
    hurt = with_outliers(mini)
    with pytest.raises(FailedPrecondition, match="bf16 changes the vectors of mini too much"):
        in_precision(hurt, Precision.BF16, probe)
    chosen = in_precision(hurt, Precision.AUTO, probe)
    assert chosen.precision is not Precision.BF16
    assert "bf16 changes too much (cosines to fp32" in chosen.why


def test_auto_takes_what_is_fastest_and_says_so(mini: Encoder, probe: list[Frames]) -> None:
    chosen = in_precision(mini, Precision.AUTO, probe)
    gains = {
        Precision(remark.split()[0]): float(remark.split("times as fast")[0].split()[-1])
        for remark in chosen.why.split("), ")
    }
    assert set(gains) == {Precision.BF16, Precision.INT8}
    if chosen.precision is Precision.FP32:
        assert max(gains.values()) <= LEAST_GAIN
    else:
        assert gains[chosen.precision] == max(gains.values()) >= LEAST_GAIN


BEST = Fidelity(1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("name", ["least_frame", "mean_frame", "least_pooled"])
def test_each_cosine_must_be_enough(name: str) -> None:
    assert BEST.is_enough
    assert ENOUGH.is_enough
    assert not replace(BEST, **{name: getattr(ENOUGH, name) - 1e-4}).is_enough


def test_scores_must_not_change_much() -> None:
    assert not replace(BEST, most_score=ENOUGH.most_score + 1e-4).is_enough


@pytest.mark.parametrize("name", ["least_frame", "mean_frame", "least_pooled", "most_score"])
def test_what_is_not_a_number_is_not_enough(name: str) -> None:
    assert not replace(BEST, **{name: float("nan")}).is_enough
