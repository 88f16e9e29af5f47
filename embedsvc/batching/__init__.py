"""One queue for the encoder: who comes in, who is next, and what runs together.

`jobs` are what waits, `lanes` say whose turn it is, `forming` what runs together, `cost` how long
that takes, `admission` who may wait, `queue` is where the event loop and the encoder's thread meet,
`engine` that thread, `watchdog` what health is told, and `batcher` joins them.
"""

from embedsvc.batching.admission import Limits
from embedsvc.batching.batcher import Batcher, Ticket
from embedsvc.batching.cost import Cost, calibrated, noise
from embedsvc.batching.engine import Model
from embedsvc.batching.jobs import Ran, Terms
from embedsvc.batching.stats import LaneStats, Stats

__all__ = [
    "Batcher",
    "Cost",
    "LaneStats",
    "Limits",
    "Model",
    "Ran",
    "Stats",
    "Terms",
    "Ticket",
    "calibrated",
    "noise",
]
