"""What a model's own probes say, to try a precision on."""

from collections.abc import Iterator

from embedsvc import telemetry
from embedsvc.encoder import Encoder, Judge
from embedsvc.errors import SpaceMismatch
from embedsvc.probes import Probe, Shelf
from embedsvc.types import Floats, Pooling, ProbeTask

MOST_PROBES = 100


def judges(encoder: Encoder) -> list[Judge]:
    """Those of the probes beside the weights that answer with labels, for whole utterances."""
    if encoder.directory is None:
        return []
    beside = encoder.directory / "probes"
    shelf = Shelf(beside / "none", beside, _damaged)
    return [judge for probe in shelf.list("", MOST_PROBES) for judge in _judge(encoder, probe)]


def _damaged(name: str, error: BaseException) -> None:
    telemetry.event("damaged", what=name, error=str(error))


def _judge(encoder: Encoder, probe: Probe) -> Iterator[Judge]:
    info = probe.info
    if info.task is ProbeTask.REGRESSION:
        return
    try:
        plans = tuple(encoder.plan_of(space) for space in info.spaces)
    except SpaceMismatch:
        return  # of another model

    def answers(vectors: Floats) -> Floats:
        told: Floats = probe.told(vectors).probabilities.astype("float32")
        return told

    if all(plan.pooling is not Pooling.NONE for plan in plans):
        yield Judge(plans, answers)
