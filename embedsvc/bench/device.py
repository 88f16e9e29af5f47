"""What a device is: its name, its memory, and how fast it multiplies matrices."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from embedsvc.bench import memory
from embedsvc.encoder.config import EncoderConfig

SIZE = 8192
"""Rows and columns of the matrices that are multiplied: large enough to keep any GPU busy."""

LEAST_SECONDS = 1.0
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Device:
    """A processor or a GPU, under torch's name for it."""

    name: str

    @property
    def is_gpu(self) -> bool:
        """Whether it has memory of its own."""
        return torch.device(self.name).type == "cuda"

    @property
    def title(self) -> str:
        """What its maker calls it; a processor is told with the machine."""
        return torch.cuda.get_device_name(self.name) if self.is_gpu else self.name

    def wait(self) -> None:
        """Until it has done all it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.name)

    def forget_peak(self) -> None:
        """Let the peak of this process count from now."""
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.name)
        else:
            memory.forget_peak()

    def held(self, *, peak: bool = False) -> int:
        """Bytes: resident ones of this process, on a GPU those of its tensors; now or at most."""
        if not self.is_gpu:
            return memory.resident_bytes(peak=peak)
        count = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
        return count(self.name)


def matrix_rate(device: Device, dtype: torch.dtype, size: int = SIZE) -> float:
    """Operations a second in products of square matrices, over at least a second.

    A product of two has `size` squared sums of `size` terms, a term being two operations.
    """
    one, other = (torch.randn(size, size, device=device.name).to(dtype) for _ in range(2))
    for _ in range(3):
        torch.mm(one, other)
    device.wait()
    products, together = 0, 1
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < LEAST_SECONDS:
        for _ in range(together):
            torch.mm(one, other)
        device.wait()
        products += together
        together *= 2  # so that the device seldom waits for us
    return products * 2.0 * size**3 / took


def operations(config: EncoderConfig, lengths: Sequence[int]) -> float:
    """What all blocks have to multiply and add, each for one, for utterances of so many frames.

    These are products with weights, the depthwise convolution, and attention's scores and sums.
    What is done for padding is not counted.
    """
    hidden, frames = config.hidden_size, sum(lengths)
    weights = 4 * hidden * config.intermediate_size  # two feed-forwards, in and out
    weights += 4 * hidden**2  # queries, keys, values, output
    weights += 3 * hidden**2  # the gate, which is twice as wide, and the output
    weights += hidden * config.conv_depthwise_kernel_size
    if config.position_embeddings_type == "relative_key":
        weights += hidden * config.positions
    pairs = 2 * hidden * sum(length**2 for length in lengths)
    return 2.0 * config.num_hidden_layers * (weights * frames + pairs)
