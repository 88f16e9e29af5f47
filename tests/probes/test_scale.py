"""Prints figures of docs/probes.md: `pytest -n 0 -m slow -s tests/probes/test_scale.py`."""

import resource
import time

import numpy as np
import pytest

from embedsvc.audio import log_mel, long_enough, stacked
from embedsvc.encoder import Encoder, pool, resolve
from embedsvc.probes import Examples, train
from embedsvc.probes.background import other_sounds, sounds
from embedsvc.samples import clips
from embedsvc.types import Ask, Floats, Pooling, ProbeRecipe
from tests.probes.speakers import space
from tests.probes.test_probe import large

COUNT, DIM, LABELS, SPEAKERS = 100_000, 1024, 100, 5000
LAYER = 5


def many() -> Examples:
    """Labels that are hard to tell apart: a third of the answers will be right."""
    chance = np.random.default_rng(0)
    centers = chance.normal(size=(LABELS, DIM)).astype(np.float32)
    label = chance.integers(0, LABELS, SPEAKERS)
    voices = chance.normal(size=(SPEAKERS, DIM)).astype(np.float32)
    voices = ((0.3 * centers[label] + voices) / 4 + 3).astype(np.float32)
    speaker = chance.integers(0, SPEAKERS, COUNT)
    vectors = np.empty((COUNT, DIM), np.float32)
    for start in range(0, COUNT, 10_000):
        part = speaker[start : start + 10_000]
        vectors[start : start + 10_000] = voices[part] + chance.normal(size=(len(part), DIM))
    return Examples(
        vectors,
        tuple(f"label {label[at]:03d}" for at in speaker),
        tuple(f"speaker {at}" for at in speaker),
        (space(DIM),),
    )


@pytest.mark.slow
def test_a_hundred_thousand_examples_are_learned_from_in_minutes() -> None:
    examples = many()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = [time.monotonic()]
    probe = train(
        "many",
        1,
        examples,
        ProbeRecipe(),
        background=None,
        tell=lambda *_: told.append(time.monotonic()),
    )
    took, gap = told[-1] - told[0], float(np.diff(told).max())
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    print(f"\n{took:.0f} s, told at least every {gap:.1f} s, {more} MiB more than the vectors")  # noqa: T201
    print({name: round(value, 3) for name, value in probe.info.figures.items()})  # noqa: T201
    assert took < 600
    assert gap < 30
    assert more < 1024


@pytest.mark.slow
def test_one_vector_is_classified_in_less_than_a_millisecond() -> None:
    probe = large(LABELS, DIM)
    one = np.random.default_rng(0).normal(size=(1, DIM)).astype(np.float32)
    took = []
    for _ in range(2000):
        began = time.perf_counter()
        probe(one, [1.0])
        took.append(time.perf_counter() - began)
    print(f"\n{1000 * np.median(took):.2f} ms (median)")  # noqa: T201
    assert np.median(took) < 0.002


def embedded(waves: list[Floats]) -> Floats:
    encoder = Encoder.load(resolve("mini"), 1)
    found = []
    for wave in waves:
        frames = stacked(log_mel(long_enough(wave)))
        (encoded,) = encoder.encode([frames], [Ask((LAYER,), runs=((0, len(frames)),))])
        found.append(pool(encoded.moments[LAYER][0], Pooling.MEAN_STD))
    return np.stack(found).astype(np.float32)


@pytest.mark.slow
def test_sounds_of_other_kinds_are_unknown_to_a_probe_of_real_vectors() -> None:
    from embedsvc.audio import Door, decode

    spoken = list(clips("archive")) + list(clips("query"))
    speech = embedded([decode(each.data(), Door()).samples for each in spoken])
    examples = Examples(
        speech,
        tuple(each.voice[0] for each in spoken),
        tuple(f"{each.language} {each.voice}" for each in spoken),
        (space(speech.shape[1], LAYER),),
    )
    ours = embedded([wave for _, wave in list(sounds(1))[::4]])
    others = embedded([wave for _, wave in list(other_sounds(1))[::4]])
    probe = train("voice", 1, examples, ProbeRecipe(), background=ours, tell=lambda *_: None)
    unknown = float(np.mean([each.unknown is not None for each in probe(others)]))
    print(f"\n{unknown:.1%} of {len(others)} sounds of other kinds are unknown")  # noqa: T201
    print({name: round(value, 3) for name, value in probe.info.figures.items()})  # noqa: T201
    assert unknown > 0.95
    assert probe.info.figures["unknown_known"] < 0.15
