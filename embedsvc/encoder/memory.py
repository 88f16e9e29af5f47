"""When an error means that memory ran out, on the processor or on a GPU."""

import torch


def out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch might not have raised `error`."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # What torch raises on a processor is a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
