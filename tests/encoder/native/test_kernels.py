"""The kernels compute what torch computes."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedsvc.encoder import integers, native
from embedsvc.encoder.integers import weights_of
from embedsvc.encoder.linear import Linear
from embedsvc.encoder.native import Distances, Ending, Rows
from embedsvc.encoder.norm import Norm
from embedsvc.encoder.positions import RelativeKey

pytestmark = pytest.mark.skipif(native.library() is None, reason="a processor without AVX-512")

many_lengths = st.lists(st.integers(1, 150), min_size=1, max_size=4)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(lengths=many_lengths, heads=st.integers(1, 3), vectors=st.integers(1, 4),
       left=st.integers(0, 70), right=st.integers(0, 20))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_attention_is_that_of_its_definition(
    lengths: list[int], heads: int, vectors: int, left: int, right: int
) -> None:
    size = 16 * vectors
    joint = random(sum(lengths), 3, heads, size)
    table = random(left + right + 1, size, seed=1)
    expected = RelativeKey(table, left).attend(joint, lengths)
    distances = Distances.of(table, left)
    assert distances is not None
    torch.testing.assert_close(
        native.attend(joint, distances, lengths), expected, atol=5e-6, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_over_many_tiles_keeps_large_scores_apart(dtype: torch.dtype) -> None:
    lengths = [700, 1, 258]
    joint = (random(sum(lengths), 3, 2, 32) * 3).to(dtype)
    table = random(73, 32, seed=1)
    expected = RelativeKey(table, 64).attend(joint, lengths)
    distances = Distances.of(table, 64)
    assert distances is not None
    found = native.attend(joint, distances, lengths).float()
    if dtype is torch.float32:
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    else:
        assert F.cosine_similarity(found, expected).min() > 0.98
        assert F.cosine_similarity(found, expected).mean() > 0.9995


@pytest.mark.parametrize("size", [8, 24, 80])
def test_heads_of_other_sizes_have_no_kernel(size: int) -> None:
    assert Distances.of(random(5, size), 2) is None


@given(lengths=many_lengths, channels=st.integers(1, 40), taps=st.integers(1, 33))
@settings(max_examples=40, deadline=None)
def test_convolution_is_that_of_torch_for_each_utterance(
    lengths: list[int], channels: int, taps: int
) -> None:
    states, kernel = random(sum(lengths), channels), random(taps, channels, seed=1)
    expected = [
        F.conv1d(F.pad(part.T, (taps - 1, 0)), kernel.T[:, None], groups=channels).T
        for part in states.split_with_sizes(lengths)
    ]
    found = native.convolve(states, kernel, lengths)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


@given(rows=st.integers(1, 40), size=st.integers(1, 200), normed=st.booleans(),
       swished=st.booleans(), dtype=st.sampled_from([torch.float32, torch.float16]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_integers_are_within_half_a_step(
    rows: int, size: int, normed: bool, swished: bool, dtype: torch.dtype
) -> None:
    states = (random(rows, size) * 3 + 1).to(dtype)
    norm = Norm(1 + random(size, seed=1) / 4, random(size, seed=2), 1e-5) if normed else None
    expected = norm(states.float()) if norm else states.float()
    expected = F.silu(expected) if swished else expected
    found = native.quantize(states, norm, swished=swished)
    steps = (read(found, size) - expected) / found.scale[:, None]
    # A row of equal states has steps of almost no height, and rounding is then all there is.
    rounding = expected.abs().amax(dim=1, keepdim=True) * 4e-6 / found.scale[:, None]
    assert (steps.abs() <= 0.501 + rounding).all()


def read(rows: Rows, size: int) -> Tensor:
    values = rows.values[: len(rows.scale), :size].float()
    return rows.low[:, None] + rows.scale[:, None] * values


@pytest.mark.parametrize("value", [0.0, -3.25, 1e30, 1e-38])
def test_a_row_of_equal_states_stays_that(value: float) -> None:
    found = native.quantize(torch.full((3, 20), value), None, swished=False)
    assert torch.isfinite(found.scale).all()
    torch.testing.assert_close(read(found, 20), torch.full((3, 20), value))


@given(rows=st.integers(1, 30), inputs=st.integers(1, 90), outputs=st.integers(1, 140),
       ending=st.sampled_from(list(Ending)), biased=st.booleans())  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_a_product_is_exact_in_its_integers(
    rows: int, inputs: int, outputs: int, ending: Ending, biased: bool
) -> None:
    outputs += outputs % 2
    linear = Linear(random(outputs, inputs), random(outputs, seed=1) if biased else None)
    weights = weights_of(linear, ending, share=0.5)
    quantized = native.quantize(random(rows, inputs, seed=2), None, swished=False)
    whole = read(quantized, inputs) @ rounded(linear, share=0.5).T
    whole = whole + linear.bias / 2 if linear.bias is not None else whole
    before = random(rows, weights.outputs, seed=3)
    expected = {
        Ending.STORE: lambda: whole,
        Ending.SWISH: lambda: F.silu(whole),
        Ending.GATE: lambda: F.glu(whole, dim=-1),
        Ending.ADD: lambda: before + whole,
    }[ending]()
    found = native.multiply(quantized, weights, before.clone())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def rounded(linear: Linear, share: float) -> Tensor:
    """The weight (out, in) that the integers stand for."""
    rows = linear.weight * share
    rates = rows.abs().amax(dim=1, keepdim=True) / 127
    return (rows / rates).round() * rates


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_products_are_written_in_smaller_numbers(dtype: torch.dtype) -> None:
    weights = weights_of(Linear(random(70, 33)))
    rows = native.quantize(random(9, 33, seed=1), None, swished=False)
    exact = native.multiply(rows, weights, torch.empty(9, 70))
    assert torch.equal(native.multiply(rows, weights, exact.to(dtype) * 0), exact.to(dtype))


def test_values_too_large_for_16_bits_are_written_as_the_largest() -> None:
    weights = weights_of(Linear(torch.full((64, 4), 1e4)))
    rows = native.quantize(torch.tensor([[1e4, 1e4, 1e4, 0.0]]), None, swished=False)
    found = native.multiply(rows, weights, torch.empty(1, 64, dtype=torch.float16))
    assert (found == torch.finfo(torch.float16).max).all()


@given(rows=st.integers(2, 40), place=st.integers(0, 39))
@settings(max_examples=20, deadline=None)
def test_neither_rows_nor_threads_beside_it_change_a_row(rows: int, place: int) -> None:
    place %= rows
    states = random(rows, 48)
    weights = weights_of(Linear(random(130, 48, seed=1), random(130, seed=2)), Ending.SWISH)
    together = product(states, weights, threads=2)
    alone = product(states[place : place + 1], weights, threads=1)
    assert torch.equal(together[place : place + 1], alone)


def product(states: Tensor, weights: native.Weights, threads: int) -> Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return integers.multiply(
            integers.quantize(states), weights, torch.empty(len(states), weights.outputs)
        )
    finally:
        torch.set_num_threads(before)
