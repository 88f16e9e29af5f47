"""Many sounds, a few calls ahead of whoever takes the answers, in order and in bounded memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from embedsvc.client.audible import Audible
from embedsvc.client.client import Client
from embedsvc.client.results import Embedding, Window
from embedsvc.errors import (
    AudioExceedsDevice,
    AudioQuarantined,
    AudioTooLong,
    DeadlineExceeded,
    EmbedsvcError,
    Internal,
    InvalidArgument,
    MessageTooLarge,
)
from embedsvc.types import ChannelPolicy, Lane, OutputSpec, Pooling, Segmentation, Windowing

TOGETHER = 16
"""Small sounds in one call, fewer when they are of more than `TOGETHER_BYTES`."""

TOGETHER_BYTES = 1024 * 1024
"""Half a minute of 16-bit PCM at 16 kHz, five minutes of Opus; a larger sound goes alone."""

IN_FLIGHT = 3
"""Calls at once: one is decoded and one encoded while one is read."""

Answer = Embedding | EmbedsvcError | Iterator[Window]
"""What became of a sound. Windows are of frames that are too many for one answer: they are asked
for when they are taken."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of each sound; with a `segmentation`, a row for each segment."""

    outputs: Sequence[OutputSpec] = (OutputSpec(),)
    segmentation: Segmentation | None = None
    windowing: Windowing | None = None
    channels: ChannelPolicy | str = ChannelPolicy.MIX
    lane: Lane | str = Lane.BULK


def is_of_one(error: EmbedsvcError) -> bool:
    """Whether a sound is at fault, and the next may well be embedded."""
    if isinstance(error, MessageTooLarge | AudioQuarantined | AudioExceedsDevice | Internal):
        return True
    if isinstance(error, DeadlineExceeded):
        return True
    asked = error.field.partition(".")[0].partition("[")[0] in {"options", "outputs", "config"}
    return isinstance(error, InvalidArgument) and not asked


def answers(
    client: Client, sources: Iterable[Audible], wanted: Wanted, *, in_flight: int = IN_FLIGHT
) -> Iterator[Answer]:
    """The answer to each source, in order; raises what would befall every one of them.

    `in_flight` calls run ahead. Leaving the iterator drops them.
    """
    asking = _Asking(client, wanted)
    running: deque[Future[list[Answer]]] = deque()
    threads = ThreadPoolExecutor(in_flight, thread_name_prefix="embedsvc-ahead")
    try:
        for batch in _batches(sources):
            running.append(threads.submit(asking.ask, batch))
            if len(running) >= in_flight:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
    finally:
        # Who leaves does not wait for calls that nobody will read.
        threads.shutdown(wait=False, cancel_futures=True)


class _Asking:
    """The calls for one wish."""

    def __init__(self, client: Client, wanted: Wanted) -> None:
        self._client = client
        self._wanted = wanted
        frames = {each.name for each in client.info().profiles if each.pooling == Pooling.NONE}
        self._frames = any(
            spec.pooling is Pooling.NONE or spec.profile in frames for spec in wanted.outputs
        )

    def ask(self, batch: Sequence[Audible]) -> list[Answer]:
        """The answer to each of a batch."""
        if len(batch) == 1:
            return [self._alone(batch[0])]
        wanted = self._wanted
        try:
            found = self._client.embed_batch(
                batch,
                outputs=wanted.outputs,
                windowing=wanted.windowing,
                segmentation=wanted.segmentation,
                channels=wanted.channels,
                lane=wanted.lane,
            )
        except (DeadlineExceeded, MessageTooLarge):
            return list(map(self._alone, batch))
        return [self._settled(source, answer) for source, answer in zip(batch, found, strict=True)]

    def _settled(self, source: Audible, answer: Embedding | EmbedsvcError) -> Answer:
        if isinstance(answer, AudioTooLong | MessageTooLarge):
            return self._alone(source)
        if isinstance(answer, EmbedsvcError) and not is_of_one(answer):
            raise answer
        return answer

    def _alone(self, source: Audible) -> Answer:
        """One sound in a call of its own; of a large one that is wanted as frames, the windows."""
        if self._frames and size_of(source) > TOGETHER_BYTES:
            return self._windows(source)
        try:
            return self._embedded(source)
        except EmbedsvcError as error:
            if self._frames and isinstance(error, MessageTooLarge):
                return self._windows(source)
            if not is_of_one(error):
                raise
            return error

    def _embedded(self, source: Audible) -> Embedding:
        wanted = self._wanted
        if wanted.segmentation is None:
            return self._client.embed(
                source,
                outputs=wanted.outputs,
                windowing=wanted.windowing,
                channels=wanted.channels,
                lane=wanted.lane,
            )
        return self._client.embed_segments(
            source,
            wanted.segmentation,
            outputs=wanted.outputs,
            windowing=wanted.windowing,
            channels=wanted.channels,
            lane=wanted.lane,
        )

    def _windows(self, source: Audible) -> Iterator[Window]:
        wanted = self._wanted
        return self._client.embed_windows(
            source,
            outputs=wanted.outputs,
            windowing=wanted.windowing,
            channels=wanted.channels,
            lane=wanted.lane,
        )


def size_of(source: Audible) -> int:
    """Bytes to send; 0 for a file that is not there."""
    if isinstance(source, bytes):
        return len(source)
    if isinstance(source, tuple):
        return 4 * int(source[0].size)
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0


def _batches(sources: Iterable[Audible]) -> Iterator[list[Audible]]:
    """Small sounds together, a large one alone; in order."""
    batch: list[Audible] = []
    total = 0
    for source in sources:
        size = size_of(source)
        if batch and (len(batch) == TOGETHER or total + size > TOGETHER_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(source)
        total += size
    if batch:
        yield batch
