"""A map gives the same however its weights lie."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.encoder import linear
from embedsvc.encoder.linear import Linear


def random_map(inputs: int, outputs: int, *, biased: bool, seed: int = 1) -> Linear:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn((outputs, inputs), generator=random)
    return Linear(weight, torch.randn(outputs, generator=random) if biased else None)


@given(
    rows=st.integers(1, 70), inputs=st.integers(1, 90), outputs=st.integers(1, 90),
    biased=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_weights_that_are_laid_out_are_the_same_map(
    rows: int, inputs: int, outputs: int, biased: bool
) -> None:
    plain = random_map(inputs, outputs, biased=biased)
    states = torch.randn((rows, inputs), generator=torch.Generator().manual_seed(2))
    laid_out = plain.at(torch.float32)
    torch.testing.assert_close(laid_out(states), plain(states), atol=1e-5, rtol=1e-5)
    again = laid_out.at(torch.float32)
    torch.testing.assert_close(again(states), laid_out(states), atol=0, rtol=0)


def test_a_part_of_a_larger_tensor_is_mapped_as_it_is() -> None:
    plain = random_map(8, 6, biased=True)
    wide = torch.randn((5, 20), generator=torch.Generator().manual_seed(2))
    part = wide[:, 4:12]
    torch.testing.assert_close(plain.at(torch.float32)(part), plain(part.clone()))


def test_it_multiplies_in_the_numbers_of_its_weight() -> None:
    plain = random_map(64, 32, biased=True)
    reduced = plain.at(torch.bfloat16)
    states = torch.randn((9, 64), generator=torch.Generator().manual_seed(2))
    mapped = reduced(states)
    assert mapped.dtype == reduced.weight.dtype == torch.bfloat16
    torch.testing.assert_close(mapped.float(), plain(states), atol=0.2, rtol=0.05)


def test_without_the_operators_weights_stay_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_can_lay_out", lambda: False)
    plain = random_map(4, 3, biased=False)
    same = plain.at(torch.float32)
    assert not same.weight.is_mkldnn
    states = torch.ones(2, 4)
    assert torch.equal(same(states), plain(states))
