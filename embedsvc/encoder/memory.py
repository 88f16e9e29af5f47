"""Memory: whether it ran out, and giving it back."""

import ctypes

import torch


def out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch might not have raised `error`."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # What torch raises on a processor is a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def return_freed() -> None:
    """Give the system back all that is free: after loading, up to twice the size of the weights.

    The C library of GNU keeps blocks of less than 32 MiB for itself; others have no such function.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
