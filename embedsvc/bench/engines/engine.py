"""What every engine is: features of some utterances in, their last hidden states out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from embedsvc.types import Floats

CPU = "cpu"

Encode = Callable[[Sequence[Floats]], list[Floats]]


class Shows(StrEnum):
    """What of the last hidden states an engine lets one see."""

    STATES = "states"
    HALF = "every second state, normalized"


@dataclass(frozen=True)
class Engine:
    """`encode` takes features (T, 160) of utterances and gives states (T, D) of each.

    One that goes `alone` takes a batch utterance by utterance, so that nothing is padded.
    """

    name: str
    encode: Encode
    alone: bool = False
    shows: Shows = Shows.STATES


@dataclass(frozen=True)
class Job:
    """What a process is to load: a library's engines for a checkpoint, in one precision.

    `device` is torch's name for where they run.
    """

    library: str
    precision: str
    model: Path
    scratch: Path
    threads: int
    device: str = CPU


def one_by_one(encode: Callable[[Floats], Floats]) -> Encode:
    """A batch as a loop over its utterances."""
    return lambda utterances: [encode(features) for features in utterances]
