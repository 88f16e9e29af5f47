"""Those who turn features into hidden states; each library is imported in its own file alone."""

from embedsvc.bench.engines.engine import Engine, Job, Shows
from embedsvc.bench.engines.table import LIBRARIES, Library, jobs
from embedsvc.bench.engines.worker import Arm, Ran, Worker

__all__ = ["LIBRARIES", "Arm", "Engine", "Job", "Library", "Ran", "Shows", "Worker", "jobs"]
