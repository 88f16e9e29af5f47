import re
from pathlib import Path

import pytest
import torch

from embedsvc.encoder import out_of_memory, return_freed


def test_torch_says_on_a_processor_that_memory_ran_out() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert out_of_memory(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_python_and_a_gpu_have_errors_of_their_own_for_it(error: Exception) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("allocate memory")])
def test_other_errors_are_no_lack_of_memory(error: Exception) -> None:
    assert not out_of_memory(error)


def test_what_is_free_is_given_back() -> None:
    def held() -> int:
        """MiB of this process."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]

    blocks = [bytearray(100_000) for _ in range(2_000)]
    full = held()
    del blocks[:-1]  # the last one holds the end of the heap
    return_freed()
    assert held() < full - 150
