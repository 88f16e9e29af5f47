"""Moves the weights: Muon for the matrices of the blocks, AdamW for everything else.

Muon (Jordan et al. 2024) makes all directions of a matrix's step equally long. That takes several
products of the matrix with itself, so each process of a team does its part of the matrices and
shares the result.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from embedsvc.training.arithmetic import fast_dtype
from embedsvc.training.recipe import Schedule
from embedsvc.training.team import Team

BETAS = (0.9, 0.98)
MOMENTUM = 0.95


class Optimizer:
    """Steps of all parameters, whose values and gradients lie in one stretch of memory each."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], schedule: Schedule, team: Team
    ) -> None:
        self._schedule, self._team = schedule, team
        matrices = [name for name, each in parameters.items() if _is_matrix(name, each, schedule)]
        owned = [matrices[rank :: team.size] for rank in range(team.size)]
        others = [name for name in parameters if name not in set(matrices)]
        order = [name for part in (*owned, others) for name in part]
        self._values, self._gradients = _join([parameters[name] for name in order])
        sizes = [sum(parameters[name].numel() for name in part) for part in owned]
        self._owned = [*zip(_starts(sizes), sizes, strict=True)]
        mine = {name: _flat(parameters[name]) for name in owned[team.rank]}
        self._names: dict[str, dict[int, str]] = {"muon": {}, "adamw": {}}
        self._muon = Muon(mine.values(), schedule.matrix_rate, schedule.decay) if mine else None
        self._adamw = _adamw({name: parameters[name] for name in others}, schedule)
        self._names["muon"] = dict(enumerate(mine))
        self._names["adamw"] = dict(enumerate(self._ordered(others, parameters)))

    def zero(self) -> None:
        """Forget the gradients."""
        self._gradients.zero_()

    def step(self, done: float) -> float:
        """Move by the gradients of all processes; their norm.

        `done` is the share of the rates now, from 0 to 1. Gradients that are not finite are left.
        """
        self._team.average(self._gradients)
        norm = float(self._gradients.norm())
        if not math.isfinite(norm):
            return norm
        if norm > self._schedule.largest_gradient:
            self._gradients *= self._schedule.largest_gradient / norm
        for optimizer, rate in (
            (self._muon, self._schedule.matrix_rate),
            (self._adamw, self._schedule.rate),
        ):
            if optimizer is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rate * done
                optimizer.step()
        for owner, (start, size) in enumerate(self._owned):
            self._team.share(self._values[start : start + size], owner)
        return norm

    def state(self) -> dict[str, Tensor]:
        """What this process must keep to go on: `muon/<name>/...` and `adamw/<name>/...`."""
        return dict(self._state())

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the states of all processes together."""
        for kind, optimizer in self._kinds():
            state: dict[int, dict[str, Tensor]] = {}
            for number, name in self._names[kind].items():
                prefix = f"{kind}/{name}/"
                state[number] = {
                    key.removeprefix(prefix): value
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                }
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _kinds(self) -> Iterator[tuple[str, torch.optim.Optimizer]]:
        if self._muon is not None:
            yield "muon", self._muon
        yield "adamw", self._adamw

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for kind, optimizer in self._kinds():
            if kind == "adamw" and self._team.rank:
                continue  # every process has the same
            for number, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    tensor = value if isinstance(value, Tensor) else torch.tensor(float(value))
                    yield f"{kind}/{self._names[kind][number]}/{key}", tensor

    @staticmethod
    def _ordered(names: list[str], parameters: Mapping[str, nn.Parameter]) -> list[str]:
        """Names in the order of AdamW's groups: those that decay first."""
        return sorted(names, key=lambda name: parameters[name].ndim <= 1)


def rate_at(step: int, schedule: Schedule) -> float:
    """Share of the rates at a step: up in a line, then down in a line over the last part."""
    up = min(1.0, (step + 1) / max(1, schedule.warmup))
    left = (schedule.steps - step) / max(1.0, schedule.steps * schedule.cooldown)
    return min(up, max(0.01, min(1.0, left)))


def _is_matrix(name: str, parameter: nn.Parameter, schedule: Schedule) -> bool:
    """Weights of the blocks that map one vector to another; a depthwise kernel does not."""
    inner = ".layers." in name and "depthwise" not in name and "distance" not in name
    return schedule.optimizer == "muon" and inner and parameter.ndim >= 2


def _join(parameters: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Put values and gradients one after the other, and make the parameters views of them."""
    total = sum(each.numel() for each in parameters)
    values = torch.empty(total, device=parameters[0].device)
    gradients = torch.zeros_like(values)
    start = 0
    for each in parameters:
        end = start + each.numel()
        values[start:end] = each.data.flatten()
        each.data = values[start:end].view_as(each)
        each.grad = gradients[start:end].view_as(each)
        start = end
    return values, gradients


def _flat(parameter: nn.Parameter) -> nn.Parameter:
    """The same memory as a matrix: a pointwise convolution has a third dimension of one."""
    matrix = nn.Parameter(parameter.data.view(len(parameter), -1))
    assert parameter.grad is not None
    matrix.grad = parameter.grad.view(len(parameter), -1)
    return matrix


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal, in the precision of the parameters.

    torch's own computes in bfloat16, in which CPUs without it are four times slower.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], rate: float, decay: float) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no loss to give back
        """Move every matrix."""
        del closure
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum: Tensor = state["momentum"]
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                ahead = matrix.grad.lerp(momentum, MOMENTUM)  # Nesterov's
                rows, columns = matrix.shape
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                length = group["lr"] * max(1.0, rows / columns) ** 0.5
                matrix.sub_(orthogonal(ahead), alpha=length)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the nearest matrix whose singular values are 1 (they come out at 0.7 to 1.2).

    Five Newton-Schulz steps with the coefficients of Jordan et al. 2024, chosen to be fast, not
    exact; they bear bfloat16.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    turned: Tensor = matrix.T if tall else matrix
    turned = (turned / (turned.norm() + 1e-7)).to(fast_dtype(matrix.device))
    for _ in range(5):
        square = turned @ turned.T
        turned = 3.4445 * turned + (-4.7750 * square + 2.0315 * square @ square) @ turned
    return (turned.T if tall else turned).to(matrix.dtype)


def _adamw(parameters: Mapping[str, nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    maps = [each for each in parameters.values() if each.ndim > 1]
    rest = [each for each in parameters.values() if each.ndim <= 1]
    groups = [{"params": maps, "weight_decay": schedule.decay}, {"params": rest, "weight_decay": 0}]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=BETAS)


def _starts(sizes: list[int]) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]
