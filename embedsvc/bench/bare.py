"""The encoder without a service: what a server would reach that cost nothing."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from embedsvc.audio import features
from embedsvc.pipeline import loading
from embedsvc.timing import to_seconds
from embedsvc.types import Ask, Floats, Frames, OutputSpec, Precision, Windowing

BATCH_FRAMES = 2_000
"""Frames in one pass, 40 s of speech: more of them gain nothing on two cores."""

ENCODER, WHOLE = "encoder alone", "features and encoder"


@dataclass(frozen=True)
class Engine:
    """What is run: a model as the server loads it."""

    model: str
    threads: int
    precision: Precision


def answer(engine: Engine, waves: Sequence[Floats]) -> Callable[[str, float], float]:
    """For a child process: a function of what to run and for how long, that gives the pace.

    It takes the utterances (N,) in turn for at least so many seconds, gives each its default
    vector, and answers with seconds of audio a second. As in the service, the encoder runs in a
    thread of its own: how long its helpers spin for work depends on how many there are.
    """
    thread = ThreadPoolExecutor(1)
    encoder = loading.load(engine.model, engine.threads, wanted=engine.precision)
    plan = encoder.plan(OutputSpec(), Windowing())
    heard = [features(wave) for wave in waves]

    def encode(batch: Sequence[Frames]) -> None:
        asks = [Ask((plan.layer,), None, ((0, len(frames)),)) for frames in batch]
        for encoded in encoder.encode(batch, asks):
            encoder.finish(plan, encoded.moments[plan.layer][0])

    def run(what: str, seconds: float) -> float:
        started = time.perf_counter()
        audio = 0.0
        for places in _batches(itertools.cycle(range(len(heard))), heard):
            encode([features(waves[at]) if what == WHOLE else heard[at] for at in places])
            audio += sum(to_seconds(len(waves[at])) for at in places)
            if time.perf_counter() - started >= seconds:
                break
        return audio / (time.perf_counter() - started)

    encode(heard[:1])
    return lambda what, seconds: thread.submit(run, what, seconds).result()


def _batches(places: Iterable[int], heard: Sequence[Frames]) -> Iterator[list[int]]:
    """Places of utterances that make up a batch, without end when `places` have none."""
    batch: list[int] = []
    frames = 0
    for place in places:
        if batch and frames + len(heard[place]) > BATCH_FRAMES:
            yield batch
            batch, frames = [], 0
        batch.append(place)
        frames += len(heard[place])
