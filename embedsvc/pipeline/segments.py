"""How a recording is cut into segments that a search can find."""

from collections.abc import Sequence

from embedsvc.encoder import merge
from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, SAMPLE_RATE, to_seconds
from embedsvc.types import Moments, Segmentation, Span

MIN_LENGTH = SAMPLE_RATE
MAX_LENGTH = 60 * SAMPLE_RATE
MIN_HOP = SAMPLE_RATE // 2


def check(segmentation: Segmentation, prefix: str = "segmentation.") -> Segmentation:
    """Return `segmentation` if it can be made of whole cells of `hop`.

    `prefix` is what stands before the names of its fields in the request.
    """
    length, hop = segmentation.length, segmentation.hop
    rules = (
        ("length", MIN_LENGTH <= length <= MAX_LENGTH, "be 1 s to 60 s", length),
        ("hop", MIN_HOP <= hop <= length, "be 0.5 s up to `length`", hop),
        ("hop", hop % FRAME == 0, "be a multiple of 0.02 s", hop),
        ("length", hop > 0 and length % hop == 0, "be a multiple of `hop`", length),
    )
    for name, holds, rule, value in rules:
        if not holds:
            field = f"{prefix}{name}"
            raise InvalidArgument(
                f"`{field}` must {rule}, but is {to_seconds(value):g} s", field=field
            )
    return segmentation


def segments(
    cells: Sequence[Moments], samples: int, segmentation: Segmentation
) -> list[tuple[Span, Moments]]:
    """Spans and moments of the segments of a recording of `samples` samples.

    `cells` are the moments of each stretch of `hop`; a segment joins length / hop of them. A
    last cell of less than half a hop belongs to the one before, so that no two segments are
    almost the same.
    """
    hop = segmentation.hop
    width = segmentation.length // hop
    edges = [cell * hop for cell in range(len(cells))] + [samples]
    cells = list(cells)
    if len(cells) > width and edges[-1] - edges[-2] < hop // 2:
        cells[-2:] = [merge(cells[-2:])]
        del edges[-2]
    last = max(0, len(cells) - width)
    return [
        (
            Span(edges[start], edges[min(start + width, len(cells))]),
            merge(cells[start : start + width]),
        )
        for start in range(last + 1)
    ]
