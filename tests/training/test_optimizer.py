"""How weights move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from embedsvc.training.arithmetic import fast_dtype
from embedsvc.training.optimizer import Optimizer, orthogonal, rate_at
from embedsvc.training.recipe import Schedule
from embedsvc.training.team import Team


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_step_is_about_as_long_in_every_direction(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn((rows, columns), generator=torch.Generator().manual_seed(seed))
    left, lengths, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    turned = left.T @ found @ right.T
    off = turned - torch.diag(turned.diagonal())
    rounding = 0.1 if fast_dtype(matrix.device) is torch.bfloat16 else 1e-3
    assert float(off.abs().max()) < rounding
    strong = turned.diagonal()[lengths > 0.05 * lengths[0]]
    assert 0.3 < float(strong.min()) <= float(strong.max()) < 1.3


def test_rates_go_up_then_down() -> None:
    schedule = Schedule(steps=100, warmup=10, cooldown=0.5)
    rates = [rate_at(step, schedule) for step in range(100)]
    assert rates[0] == 0.1
    assert rates[10:50] == [1.0] * 40
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.02)


def parameters() -> dict[str, nn.Parameter]:
    random = torch.Generator().manual_seed(1)
    shapes = {
        "encoder.encoder.layers.0.map.weight": (6, 4),
        "encoder.encoder.layers.0.gate.weight": (8, 4, 1),
        "encoder.encoder.layers.0.depthwise_conv.weight": (4, 1, 3),
        "encoder.encoder.layers.0.map.bias": (6,),
        "heads.phones.weight": (3, 4),
    }
    return {
        name: nn.Parameter(torch.randn(shape, generator=random)) for name, shape in shapes.items()
    }


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_all_parameters_move_toward_less(kind: str) -> None:
    moved = parameters()
    schedule = Schedule(optimizer=kind, rate=0.05, matrix_rate=0.05, decay=0.0)
    optimizer = Optimizer(moved, schedule, Team())
    before = {name: float(each.detach().square().sum()) for name, each in moved.items()}
    for _ in range(20):
        optimizer.zero()
        sum(each.square().sum() for each in moved.values()).backward()  # type: ignore[union-attr]
        optimizer.step(1.0)
    for name, each in moved.items():
        assert float(each.detach().square().sum()) < 0.8 * before[name], name


def test_gradients_that_are_not_finite_move_nothing() -> None:
    moved = parameters()
    optimizer = Optimizer(moved, Schedule(), Team())
    before = {name: each.detach().clone() for name, each in moved.items()}
    for each in moved.values():
        assert each.grad is not None
        each.grad.fill_(torch.nan)
    optimizer.step(1.0)
    assert all(torch.equal(before[name], each) for name, each in moved.items())


def test_a_state_that_is_loaded_goes_on_alike() -> None:
    first, second = parameters(), parameters()
    optimizers = [Optimizer(each, Schedule(), Team()) for each in (first, second)]

    def step(which: int) -> None:
        optimizers[which].zero()
        sum(each.pow(4).sum() for each in (first, second)[which].values()).backward()  # type: ignore[union-attr]
        optimizers[which].step(1.0)

    step(0)
    with torch.no_grad():
        for name, each in second.items():
            each.copy_(first[name])
    optimizers[1].load({name: each.clone() for name, each in optimizers[0].state().items()})
    step(0)
    step(1)
    assert all(torch.equal(each, second[name]) for name, each in first.items())
