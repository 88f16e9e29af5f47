"""Smaller numbers serve where they change next to nothing, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedsvc.encoder import Encoder, Fidelity, Judge, fidelity, in_precision
from embedsvc.encoder.layers import Block, Network
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.precision import ENOUGH, LEAST_GAIN
from embedsvc.errors import FailedPrecondition
from embedsvc.pipeline import loading
from embedsvc.pipeline.judging import judges
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Precision, Windowing

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


BEST = Fidelity(1.0, 1.0, 1.0, 0.0, 1.0)
HIGH = ["least_frame", "mean_frame", "least_pooled", "same_nearest", "same_answers"]
LOW = ["most_score", "most_probability"]


def with_figure(name: str, value: float) -> Fidelity:
    return Fidelity(**{**vars(BEST), name: value})


@pytest.mark.parametrize(("names", "worse"), [(HIGH, -1e-4), (LOW, 1e-4)])
def test_each_figure_must_be_enough(names: list[str], worse: float) -> None:
    assert BEST.is_enough
    assert ENOUGH.is_enough
    for name in names:
        assert not with_figure(name, getattr(ENOUGH, name) + worse).is_enough


@pytest.mark.parametrize("name", HIGH + LOW)
def test_what_is_not_a_number_is_not_enough(name: str) -> None:
    assert not with_figure(name, float("nan")).is_enough


def test_the_probes_of_a_model_judge_its_precisions(mini: Encoder, probe: list[Frames]) -> None:
    own = judges(mini)
    assert len(own) == 2
    found = fidelity(mini, mini.at(Precision.INT8), probe, own)
    assert found.judges == 2
    assert found.same_answers >= 0.9
    assert 0 < found.most_probability < 0.05
    assert "probes of the model (2)" in str(found)


def test_a_precision_is_refused_when_a_judge_is_told_other_things(
    mini: Encoder, probe: list[Frames]
) -> None:
    def rounding(vectors: Floats) -> Floats:
        """Says which half of a rounding step each vector is in, as no good judge would."""
        odd = np.floor(vectors.sum(axis=1, keepdims=True) * 1e5) % 2
        return np.concatenate([odd, 1 - odd], axis=1).astype(np.float32)

    fussy = Judge((mini.plan(OutputSpec(), Windowing()),), rounding)
    with pytest.raises(FailedPrecondition, match="changes the vectors of mini too much"):
        in_precision(mini, Precision.BF16, probe, [fussy])
    assert in_precision(mini, Precision.AUTO, probe, [fussy]).precision is Precision.FP32
