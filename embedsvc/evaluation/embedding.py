"""One pass of the encoder over many clips, that keeps a few numbers of each."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from embedsvc.audio import Door, decode, log_mel, long_enough, stacked
from embedsvc.encoder import Encoder, PhoneHead, Plan, pool
from embedsvc.errors import EmbedsvcError
from embedsvc.evaluation.baseline import mfcc_delta_vector
from embedsvc.evaluation.clips import Clips
from embedsvc.evaluation.phones import greedy
from embedsvc.evaluation.speech import Row
from embedsvc.timing import FRAME_RATE, SAMPLE_RATE
from embedsvc.types import Ask, Encoded, Floats, Frames, OutputSpec, Pooling, Windowing

LONGEST_SECONDS = 20
"""Clips are cut to this, so that each is one window."""

BATCH_FRAMES = 3000
"""Frames of one pass: one minute."""

_AHEAD = 3
"""Batches that are read while one is encoded."""

Change = Callable[[Row, Floats], Floats]
"""Samples (N,) of a clip to others, such as noisier ones."""

Tell = Callable[[int, int], None]
"""Told how many of how many clips are done."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Subject:
    """What is measured: a model, the layers to look at, and its phone head if it has one."""

    encoder: Encoder
    layers: tuple[int, ...]
    head: PhoneHead | None = None
    threads: int = 1

    @property
    def plan(self) -> Plan:
        """The model's own space."""
        return self.encoder.plan(OutputSpec(), Windowing())

    @property
    def asked(self) -> tuple[int, ...]:
        """Layers that a pass must give."""
        wanted = {*self.layers, self.plan.layer, *([self.head.layer] if self.head else [])}
        return tuple(sorted(wanted))


@dataclass(frozen=True)
class Read:
    """A clip ready for the encoder; `error` says why there are no frames."""

    row: Row
    frames: Frames | None = None
    cepstra: Floats | None = None
    error: str = ""


@dataclass(frozen=True)
class Pass:
    """The clips that could be read, and a line for each that could not."""

    clips: Clips
    failed: tuple[str, ...]


def embed(subject: Subject, rows: Sequence[Row], tell: Tell, change: Change | None = None) -> Pass:
    """Pass all `rows`, in their order, through the encoder."""
    order = sorted(range(len(rows)), key=lambda place: rows[place].seconds)
    together = list(batches([rows[place] for place in order]))
    kept: list[_Kept] = []
    failed: list[str] = []
    done = 0
    with ThreadPoolExecutor(subject.threads) as threads:
        for batch in ahead(threads, together, lambda batch: [_read(row, change) for row in batch]):
            good = [read for read in batch if read.frames is not None]
            kept.extend(_encode(subject, good))
            failed.extend(f"{read.row.path}: {read.error}" for read in batch if read.error)
            done += len(batch)
            tell(done, len(rows))
    return Pass(_clips(subject, rows, kept), tuple(failed))


def samples_of(row: Row) -> Floats:
    """Samples (N,) of a clip, cut to `LONGEST_SECONDS`."""
    samples = decode(row.path.read_bytes(), Door()).samples
    return samples[: LONGEST_SECONDS * SAMPLE_RATE]


def ahead(
    threads: ThreadPoolExecutor, items: Iterable[_Item], work: Callable[[_Item], _Result]
) -> Iterator[_Result]:
    """Results in the order of `items`, a few of them made ahead of need and never all."""
    left = iter(items)
    waiting: deque[Future[_Result]] = deque(
        threads.submit(work, item) for item in islice(left, _AHEAD)
    )
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(threads.submit(work, item) for item in islice(left, 1))
        yield result


@dataclass(frozen=True)
class _Kept:
    row: Row
    states: Floats
    default: Floats
    cepstra: Floats
    phones: tuple[int, ...]


def batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Clips in the order given, cut into passes of at most `BATCH_FRAMES`."""
    batch: list[Row] = []
    frames = 0.0
    for row in rows:
        length = min(row.seconds, LONGEST_SECONDS) * FRAME_RATE
        if batch and frames + length > BATCH_FRAMES:
            yield batch
            batch, frames = [], 0.0
        batch.append(row)
        frames += length
    if batch:
        yield batch


def _read(row: Row, change: Change | None) -> Read:
    try:
        samples = samples_of(row)
        if change is not None:
            samples = change(row, samples)
        mel = log_mel(long_enough(samples))
        return Read(row, stacked(mel), mfcc_delta_vector(mel))
    except (EmbedsvcError, OSError) as error:
        return Read(row, error=str(error))


def _encode(subject: Subject, batch: Sequence[Read]) -> Iterator[_Kept]:
    frames = [read.frames for read in batch if read.frames is not None]
    asks = [_ask(subject, len(each)) for each in frames]
    plan = subject.plan
    for read, answer in zip(batch, subject.encoder.encode(frames, asks), strict=True):
        assert read.cepstra is not None
        yield _Kept(
            row=read.row,
            states=np.stack(
                [pool(answer.moments[layer][0], Pooling.MEAN_STD) for layer in subject.layers]
            ),
            default=subject.encoder.finish(plan, answer.moments[plan.layer][0]),
            cepstra=read.cepstra,
            phones=_heard(subject.head, answer),
        )


def _ask(subject: Subject, length: int) -> Ask:
    keep = (0, length) if subject.head else None
    return Ask(subject.asked, keep, ((0, length),))


def _heard(head: PhoneHead | None, answer: Encoded) -> tuple[int, ...]:
    return () if head is None else greedy(head(answer.frames[head.layer]))


def _clips(subject: Subject, rows: Sequence[Row], kept: Sequence[_Kept]) -> Clips:
    """The kept ones in the order of `rows`."""
    places = {row: place for place, row in enumerate(rows)}
    ordered = sorted(kept, key=lambda each: places[each.row])
    dim, plan = 2 * subject.encoder.dim, subject.plan
    return Clips(
        rows=tuple(each.row for each in ordered),
        layers=subject.layers,
        states=_stack([each.states for each in ordered], (len(subject.layers), dim)),
        default=_stack([each.default for each in ordered], (plan.space.dim,)),
        cepstra=_stack([each.cepstra for each in ordered], (80,)),
        phones=tuple(each.phones for each in ordered),
    )


def _stack(arrays: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.float32)
