"""Seconds of speech in a second, of each stage by itself."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from embedsvc.audio import features
from embedsvc.evaluation.embedding import BATCH_FRAMES, Subject, samples_of
from embedsvc.evaluation.measures import VALUE, Measure
from embedsvc.evaluation.speech import Row
from embedsvc.timing import to_seconds
from embedsvc.types import Ask, Frames

TASK = "speed"
CLIPS = 300

_Result = TypeVar("_Result")


def measure(subject: Subject, rows: Sequence[Row]) -> Iterator[Measure]:
    """Audio seconds per second, after decoding, on as many threads as the subject has.

    Clips are packed by length into batches of a minute, as in the rest of the evaluation.
    """
    waves = [samples_of(row) for row in rows[:: max(1, len(rows) // CLIPS)][:CLIPS]]
    seconds = to_seconds(sum(map(len, waves)))
    subject.encoder.warm_up()
    with ThreadPoolExecutor(subject.threads) as threads:
        heard, took_features = _timed(lambda: list(threads.map(features, waves)))
    batches = list(_batches(sorted(heard, key=len)))
    deepest = tuple(range(subject.encoder.layers + 1))
    _, took_default = _timed(lambda: _encode(subject, batches, (subject.plan.layer,)))
    _, took_all = _timed(lambda: _encode(subject, batches, deepest))
    stages = (
        ("features alone", took_features),
        ("encoder alone, default layer", took_default),
        ("encoder alone, all layers", took_all),
        ("features and encoder, default layer", took_features + took_default),
        ("features and encoder, all layers", took_features + took_all),
    )
    for name, took in stages:
        counts = {"clips": len(waves), "seconds": round(seconds), "threads": subject.threads}
        yield Measure(TASK, name, "audio s/s", {VALUE: seconds / took}, None, counts)


def _encode(subject: Subject, batches: Sequence[Sequence[Frames]], layers: tuple[int, ...]) -> None:
    for batch in batches:
        subject.encoder.encode(batch, [Ask(layers, None, ((0, len(frames)),)) for frames in batch])


def _batches(frames: Sequence[Frames]) -> Iterator[list[Frames]]:
    batch: list[Frames] = []
    for each in frames:
        if batch and sum(map(len, batch)) + len(each) > BATCH_FRAMES:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
