"""In which numbers a training computes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes with it; elsewhere it is only slower."""
    is_fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
    return torch.bfloat16 if is_fast else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """Products in the fast numbers while this is open."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """So many threads, and numbers too small to matter taken as 0, which is much faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
