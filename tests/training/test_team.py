"""Processes that work together, and what is told of one that dies."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from embedsvc.errors import Unavailable
from embedsvc.training.team import Team, together


def _add(path: Path, team: Team) -> None:
    values = torch.tensor([float(team.rank + 1)])
    team.average(values)
    (path / str(team.rank)).write_text(str(values.item()))


def _meet(team: Team) -> None:
    team.wait()
    team.wait()


def _die(team: Team) -> None:
    team.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def _fail(team: Team) -> None:
    team.wait()
    raise RuntimeError("of this process itself")


def test_all_get_the_mean(tmp_path: Path) -> None:
    work = partial(_add, tmp_path)
    together(3, tmp_path / "meeting", work, work)
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["2.0"] * 3


def test_a_process_that_dies_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="a process of the training was killed"):
        together(2, tmp_path / "meeting", _meet, _die)


def test_a_fault_of_the_first_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of this process itself"):
        together(2, tmp_path / "meeting", _fail, _meet)
