"""How the processor's cores are shared among passes of the encoder."""

import torch

MOST_PASSES = 4
"""Passes at once. One that has a core to itself waits for no other core: on two cores, two passes
side by side do a third more than one pass on both. But a lone caller gets only the cores of one.
"""


def usual_passes(device: torch.device) -> int:
    """How many passes run at once when nobody says it: one on a GPU."""
    return min(MOST_PASSES, torch.get_num_threads()) if device.type == "cpu" else 1


def take_threads(count: int) -> None:
    """Let passes of the thread that calls this use `count` threads."""
    torch.set_num_threads(count)


def threads() -> int:
    """How many threads a pass uses."""
    return torch.get_num_threads()
