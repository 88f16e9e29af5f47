"""What a server has loaded, and whether it is well."""

from dataclasses import dataclass

from embedsvc.v1 import server_pb2
from embedsvc.wire import times


@dataclass(frozen=True)
class BodyInfo:
    """An encoder that is loaded, and the heads that read its states.

    `serving` says whether it was well when the server was asked, and `not_serving_since` since when
    it is not, in seconds since 1970.
    """

    model: str
    heads: tuple[str, ...]
    weights: str
    parameters: int
    precision: str
    device: str
    serving: bool
    not_serving_since: float | None = None


def body_info(message: server_pb2.BodyInfo) -> BodyInfo:
    """A body from its message."""
    since = message.not_serving_since
    return BodyInfo(
        model=message.model,
        heads=tuple(message.heads),
        weights=message.weights,
        parameters=message.parameter_count,
        precision=message.precision,
        device=message.device,
        serving=message.serving,
        not_serving_since=None if message.serving else times.epoch_seconds(since),
    )
