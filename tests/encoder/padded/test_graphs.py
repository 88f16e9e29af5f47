"""Captured steps, with a capture that a processor can have: the work itself."""

import pytest
import torch
from torch import Tensor

from embedsvc.encoder.padded.graphs import MOST_FRAMES, OFTEN, Graphs, Work

LENGTHS = torch.tensor([3, 2])


def states(rows: int = 2, size: int = 4) -> Tensor:
    return torch.arange(rows * size * 3.0).view(rows, size, 3)


def step(block: int, given: Tensor, lengths: Tensor) -> Tensor:
    return given * 2 + block + lengths[:, None, None]


class Recorder:
    """Notes what it captures; from the number `broken` on it fails."""

    def __init__(self, broken: int = 1_000) -> None:
        self.captured = 0
        self._broken = broken

    def __call__(self, work: Work) -> Work:
        if self.captured == self._broken:
            raise RuntimeError("no capture today\nand a long story")
        self.captured += 1
        return work


def run(graphs: Graphs, given: Tensor, deepest: int = 3) -> bool:
    """One pass, which must be right; whether it was captured."""
    lengths = LENGTHS[: len(given)]
    with graphs.claimed(given, lengths) as advance:
        if advance is None:
            return False
        expected = given
        for block in range(deepest):
            expected = step(block, expected, lengths)
            assert torch.equal(advance(block), expected)
    return True


def test_a_shape_is_captured_when_it_came_often() -> None:
    record = Recorder()
    graphs = Graphs(step, record)
    assert [run(graphs, states()) for _ in range(OFTEN + 1)] == [False] * (OFTEN - 1) + [True] * 2
    assert run(graphs, -states())
    assert record.captured == 3


def test_deeper_blocks_are_captured_when_they_are_needed() -> None:
    record = Recorder()
    graphs = Graphs(step, record)
    counts = []
    for deepest in (1, 1, 1, 1, 3, 2):
        run(graphs, states(), deepest)
        counts.append(record.captured)
    assert counts == [0, 0, 1, 1, 3, 3]


def test_large_batches_are_not_captured() -> None:
    graphs = Graphs(step, Recorder())
    large = states(2, MOST_FRAMES // 2 + 1)
    assert not any(run(graphs, large) for _ in range(OFTEN + 1))


def test_the_shape_not_used_for_longest_is_given_up() -> None:
    graphs = Graphs(step, Recorder(), most=2)
    first, second, third = states(2, 4), states(2, 5), states(2, 6)
    for each in (first, second):
        assert [run(graphs, each) for _ in range(OFTEN)][-1]
    assert run(graphs, first)
    assert [run(graphs, third) for _ in range(OFTEN)][-1]
    assert graphs.captured == 2
    assert run(graphs, first)
    assert not run(graphs, second)


def test_a_shape_is_for_one_pass_at_a_time() -> None:
    graphs = Graphs(step, Recorder())
    for _ in range(OFTEN):
        run(graphs, states())
    with graphs.claimed(states(), LENGTHS) as advance:
        assert advance is not None
        assert not run(graphs, states())
    assert run(graphs, states())


def test_a_failed_capture_is_told_once_and_the_pass_goes_on() -> None:
    record = Recorder(broken=2)
    graphs = Graphs(step, record)
    for _ in range(OFTEN - 1):
        run(graphs, states())
    with pytest.warns(RuntimeWarning, match="no CUDA graphs from now on: RuntimeError: no capture"):
        assert run(graphs, states())
    assert graphs.failure == "RuntimeError: no capture today"
    assert not run(graphs, states())
    assert (graphs.captured, record.captured) == (0, 2)
