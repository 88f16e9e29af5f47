"""What the batcher knows of the encoders, and of the machine that they share."""

import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from embedsvc.batching.cost import Cost, calibrated, noise
from embedsvc.types import Ask, Encoded

Encode = Callable[[Sequence[Any], Sequence[Ask]], Sequence[Encoded]]
"""Each encoder hears what it was made for: features, or samples."""


@dataclass(frozen=True)
class Model:
    """What the batcher needs to know of one encoder.

    `cost` is what was measured of it. `padded` says whether an utterance costs as much as the
    longest beside it, `sound` makes an utterance of so many frames.
    """

    encode: Encode
    layers: int
    cost: Cost
    padded: bool = False
    sound: Callable[[int], Sized] = noise


@dataclass(frozen=True)
class Machine:
    """What all encoders share.

    Up to `passes` run at once, of whichever body; `share` is told how many, whenever that changes,
    so that they share the cores and one alone has all. `out_of_memory` says whether an error was
    one of memory.
    """

    passes: int = 1
    share: Callable[[int], None] = lambda _: None
    out_of_memory: Callable[[Exception], bool] = lambda error: isinstance(error, MemoryError)


def measured(
    encode: Encode,
    layers: int,
    *,
    padded: bool = False,
    sound: Callable[[int], Sized] = noise,
) -> Model:
    """An encoder of `layers` blocks, timed on `sound`."""

    def run(length: int) -> float:
        heard = sound(length)
        started = time.perf_counter()
        encode([heard], [Ask((layers,), runs=((0, length),))])
        return time.perf_counter() - started

    return Model(encode, layers, calibrated(run), padded, sound)
