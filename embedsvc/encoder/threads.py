"""How the processor's cores are shared among passes of the encoder."""

import torch

MOST_PASSES = 4
"""Passes at once. One that has a core to itself waits for no other core: on two cores, two passes
side by side do more than one after the other on both.
"""


def usual_passes(device: torch.device) -> int:
    """How many passes run at once when nobody says it: one on a GPU."""
    return min(MOST_PASSES, torch.get_num_threads()) if device.type == "cpu" else 1


def share_threads(threads: int, passes: int) -> None:
    """Let each of the passes that run use its part of `threads`; one that runs goes on with it.

    Torch has one such number for all that a process does.
    """
    torch.set_num_threads(max(1, threads // passes))


def threads() -> int:
    """How many threads a pass alone uses."""
    return torch.get_num_threads()
