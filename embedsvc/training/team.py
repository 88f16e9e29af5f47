"""Processes that train together: each takes its own clips, and all move the weights alike.

On CPUs one process for each core is about 1.4 times as fast as one with a thread for each: a model
of this size spends much of its time where threads wait for each other.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from embedsvc.errors import Unavailable

_TRIM, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Numbers of mallopt(3)."""

_NOTICE = 1.0
"""Seconds after which the end of a process whose line closed is known."""

_GRACE = 10.0
"""Seconds that the others have to end after the first has."""


@dataclass(frozen=True)
class Team:
    """This process's place among `size`; without others, everything shared is already so."""

    rank: int = 0
    size: int = 1

    def average(self, values: Tensor) -> None:
        """Replace values by their mean over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size

    def total(self, values: Tensor) -> Tensor:
        """Sum of the values of all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def share(self, values: Tensor, owner: int) -> None:
        """Replace values by those of one process."""
        if self.size > 1:
            dist.broadcast(values, owner)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


Work = Callable[[Team], None]


def together(size: int, meeting: Path, lead: Work, others: Work) -> None:
    """Run `lead` here and `others` in all but one of `size` processes.

    `others` is sent to its processes: a function with its arguments, as `functools.partial` of it
    is. `meeting` is a path where no file is. Raises what `lead` raises; a process that fails ends
    all.
    """
    if size == 1:
        _keep_memory()
        lead(Team())
        return
    context = get_context("spawn")
    processes = [
        context.Process(target=_enter, args=(Team(rank, size), meeting, others), daemon=True)
        for rank in range(1, size)
    ]
    for process in processes:
        process.start()
    try:
        _enter(Team(0, size), meeting, lead)
    except RuntimeError as error:
        # All that is heard of another process that was killed is that its line is closed.
        for process in processes:
            process.join(timeout=_NOTICE)
        if any((process.exitcode or 0) < 0 for process in processes):
            raise Unavailable(
                "a process of the training was killed; what was last kept is there to go on from"
            ) from error
        raise
    finally:
        for process in processes:
            # One that is not done when we are waits for us in vain.
            process.join(timeout=_GRACE)
            process.terminate()


def _enter(team: Team, meeting: Path, work: Work) -> None:
    _keep_memory()
    address = f"file://{meeting.absolute()}"
    dist.init_process_group("gloo", init_method=address, rank=team.rank, world_size=team.size)
    try:
        work(team)
    finally:
        dist.destroy_process_group()


def _keep_memory() -> None:
    """Let freed memory be used again, not given back: getting it anew took half of each step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM, 2**31 - 1)
        libc.mallopt(_TOP_PAD, 2**27)
