"""What is wanted of an utterance, as a message."""

from collections.abc import Sequence

from embedsvc.client import audible
from embedsvc.types import Lane, OutputSpec, Segmentation, Windowing
from embedsvc.v1 import embedding_pb2
from embedsvc.wire import spaces, times


def options(  # each is a field of the message
    model: str,
    specs: Sequence[OutputSpec],
    windowing: Windowing | None,
    lane: Lane | str | None,
    probes: Sequence[str] = (),
    segmentation: Segmentation | None = None,
) -> embedding_pb2.EmbedOptions:
    """The options of a request; what is None or empty is left to the service."""
    message = embedding_pb2.EmbedOptions(
        model=model,
        outputs=map(spaces.spec_message, specs),
        lane=audible.lane_number(lane),
        probes=probes,
    )
    if windowing is not None:
        message.windowing.CopyFrom(spaces.windowing_message(windowing))
    if segmentation is not None:
        message.segment_length.CopyFrom(times.sample_duration(segmentation.length))
        message.segment_hop.CopyFrom(times.sample_duration(segmentation.hop))
    return message
