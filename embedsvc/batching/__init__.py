"""One queue for all encoders: who comes in, who is next, and what runs together.

`models` are the encoders, by body, `jobs` what waits for one of them, `lanes` say whose turn it is,
`forming` what runs together, `cost` how long that takes, `admission` who may wait, `queue` is where
the event loop and the encoders' threads meet, `engine` these threads, `watchdog` what health is
told, and `batcher` joins them.
"""

from embedsvc.batching.admission import Limits
from embedsvc.batching.batcher import MAIN_ONLY, Batcher, Ticket
from embedsvc.batching.canary import Fault
from embedsvc.batching.cost import Cost, noise, noise_samples
from embedsvc.batching.jobs import MAIN, Ran, Terms
from embedsvc.batching.models import Machine, Model, measured
from embedsvc.batching.stats import LaneStats, Stats

__all__ = [
    "MAIN",
    "MAIN_ONLY",
    "Batcher",
    "Cost",
    "Fault",
    "LaneStats",
    "Limits",
    "Machine",
    "Model",
    "Ran",
    "Stats",
    "Terms",
    "Ticket",
    "measured",
    "noise",
    "noise_samples",
]
