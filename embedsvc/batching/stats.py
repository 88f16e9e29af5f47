"""What the batcher did since it started, and what waits in it now."""

from collections.abc import Mapping
from dataclasses import dataclass

from embedsvc.types import Lane


@dataclass(frozen=True)
class LaneStats:
    """What waits in one lane: frames, the seconds they are predicted to take, the oldest's age."""

    waiting_frames: int
    predicted_seconds: float
    oldest_seconds: float


@dataclass(frozen=True)
class Stats:
    """Counts since the start; `cost_error` is the usual miss of the cost model, 0.1 for 10 %.

    `padding` is the share of frames that ran and were no speech.
    """

    lanes: Mapping[Lane, LaneStats]
    batches: int
    frames: int
    padding: float
    cost_error: float
    refused: int
    dropped: int
    shared: int
    cache_hits: int
    quarantined: int
    budget_frames: int


@dataclass
class Counts:
    """The counters behind `Stats`."""

    batches: int = 0
    frames: int = 0
    costed: int = 0
    dropped: int = 0
    shared: int = 0

    @property
    def padding(self) -> float:
        """Share of the frames that ran and were no speech."""
        return 1 - self.frames / self.costed if self.costed else 0.0
