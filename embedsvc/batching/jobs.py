"""What waits for the encoder: a job, and the callers who want its answer.

Times are those of `time.monotonic`.
"""

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedsvc.types import Ask, Encoded, Lane

if TYPE_CHECKING:
    import asyncio

MAIN = ""
"""The body of the served model, among the bodies of other heads."""

Load = Mapping[str, int]
"""Frames by the body that is to hear them."""

Key = tuple[bytes, Ask]
"""What two jobs share when one pass answers both."""


@dataclass(frozen=True)
class Terms:
    """On what terms a caller comes.

    A `patient` one waits for room before its audio is decoded; any other is refused at once when
    it would wait longer than its lane allows, or get its answer after its `deadline`.
    """

    lane: Lane = Lane.INTERACTIVE
    deadline: float | None = None
    patient: bool = False


@dataclass(frozen=True)
class Ran:
    """An answer of the encoder, with the seconds it waited and its share of its batch's seconds."""

    encoded: Encoded
    queue: float
    compute: float


@dataclass(eq=False)
class Caller:
    """One who waits for an answer: until `deadline`, or for ever when that is infinite.

    `head` is what is to read the answer, "" when it is none.
    """

    answer: "asyncio.Future[Ran]"
    arrived: float
    deadline: float = math.inf
    head: str = ""

    def waits(self, now: float) -> bool:
        """Whether an answer is of use; safe to ask from any thread."""
        return not self.answer.done() and now < self.deadline


@dataclass(eq=False)
class Job:
    """One utterance for one pass of a `body`; `cost` is what it is predicted to take, unscaled.

    `heard` is what that body reads, as long as it has frames; `digest` is of both.
    """

    heard: Sized
    ask: Ask
    digest: bytes
    lane: Lane
    arrived: float
    cost: float = 0.0
    callers: list[Caller] = field(default_factory=list)
    body: str = MAIN

    def __len__(self) -> int:
        return len(self.heard)

    @property
    def key(self) -> Key:
        """Equal for jobs that one pass can answer."""
        return self.digest, self.ask

    @property
    def depth(self) -> int:
        """The deepest layer it needs: a pass ends there."""
        return depth_of(self.ask)

    def wanted(self, now: float) -> bool:
        """Whether somebody still waits for it."""
        return any(caller.waits(now) for caller in self.callers)


def depth_of(ask: Ask) -> int:
    """The deepest layer that `ask` needs."""
    return max(ask.layers, default=0)
