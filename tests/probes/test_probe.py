import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes import Probe
from embedsvc.probes.numbers import KNOTS, RANKS, Numbers
from embedsvc.types import ProbeInfo, ProbeTask, UnknownReason
from tests.probes.speakers import Crowd, picked, space, trained

EXAMPLES = Crowd().examples()
PROBE = trained(EXAMPLES)
VECTORS = EXAMPLES.vectors


def large(labels: int = 100, dim: int = 1024, references: int = 2000) -> Probe:
    chance = np.random.default_rng(0)
    wide = np.float32
    info = ProbeInfo(
        name="large",
        version=1,
        task=ProbeTask.SINGLE_LABEL,
        labels=tuple(f"label {n}" for n in range(labels)),
        spaces=(space(dim),),
        created_at=0.0,
        digest="",
        alpha=0.1,
        min_speech_seconds=0.5,
    )
    numbers = Numbers(
        mean=np.zeros(dim, wide),
        scale=np.ones(dim, wide),
        mix=np.ones(1, wide),
        weights=chance.normal(size=(dim, labels)).astype(wide),
        bias=np.zeros(labels, wide),
        temperature=np.ones(1, wide),
        curve=np.zeros((0, len(KNOTS)), wide),
        least=np.full(labels, 0.1, wide),
        answers=np.full(labels, 0.5, wide),
        references=chance.normal(size=(references, dim)).astype(np.float16),
        evidence=np.tile(RANKS.astype(wide), (3, 1)),
        belonging=RANKS.astype(wide),
        refused=np.full(1, 0.05, wide),
    )
    return Probe(info, numbers)


def test_the_likeliest_labels_are_those_of_all() -> None:
    whole = PROBE(VECTORS[:40])
    some = list(PROBE.each(VECTORS[:40], top=2))
    assert [each.scores[:2] for each in whole] == [each.scores for each in some]
    assert [replace(each, scores=()) for each in whole] == [
        replace(each, scores=()) for each in some
    ]


def test_memory_is_not_that_of_all_labels_of_all_vectors() -> None:
    """A score takes about 100 bytes as an object, and here are 4 million."""
    probe = large(labels=2_000, dim=16, references=10)
    vectors = np.random.default_rng(0).normal(size=(2_000, 16)).astype(np.float32)
    tracemalloc.start()
    try:
        count = sum(len(each.scores) for each in probe.each(vectors, top=3))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 3 * len(vectors)
    assert peak < 32_000_000


def test_scores_are_of_all_labels_the_likeliest_first_and_sum_to_1() -> None:
    for each in PROBE(VECTORS[:40]):
        told = [score.probability for score in each.scores]
        assert told == sorted(told, reverse=True)
        assert sum(told) == pytest.approx(1)
        assert {score.label for score in each.scores} == set(PROBE.info.labels)
        assert each.scores[0].label in each.prediction_set
        assert each.value is None
        if each.unknown is None:
            assert each.labels == (each.scores[0].label,)


def test_a_vector_is_told_the_same_alone_and_among_others() -> None:
    together = PROBE(VECTORS[:20])
    for at, among in enumerate(together):
        alone = PROBE(VECTORS[at : at + 1])[0]
        assert alone.labels == among.labels
        assert alone.evidence.belonging == pytest.approx(among.evidence.belonging, abs=1e-4)
        assert alone.scores[0].probability == pytest.approx(among.scores[0].probability, abs=1e-5)


def test_nothing_in_nothing_out() -> None:
    assert PROBE(np.zeros((0, 16), np.float32)) == []
    assert PROBE(np.zeros((0, 16), np.float32), []) == []


@pytest.mark.parametrize("seconds", [0.0, 0.49, -1.0, float("nan")])
def test_too_little_speech_is_unknown(seconds: float) -> None:
    told = PROBE(VECTORS[:1], [seconds])[0]
    assert told.unknown is UnknownReason.TOO_SHORT
    assert told.labels == ()
    assert len(told.scores) == 4


def test_digital_silence_is_unknown_however_little_speech_is_enough() -> None:
    patient = Probe(replace(PROBE.info, min_speech_seconds=0.0), PROBE.numbers)
    assert patient(VECTORS[:1], [0.0])[0].unknown is UnknownReason.TOO_SHORT
    assert patient(VECTORS[:1], [0.01])[0].unknown is not UnknownReason.TOO_SHORT


def test_what_is_near_but_like_no_label_has_little_evidence() -> None:
    centers = [VECTORS[np.asarray(EXAMPLES.labels) == each].mean(0) for each in PROBE.info.labels]
    between = np.mean(centers, axis=0, keepdims=True)
    told = PROBE(between)[0]
    assert told.unknown is UnknownReason.LITTLE_EVIDENCE
    assert told.evidence.belonging < 0.05


def test_belonging_is_the_share_of_training_speech_with_less() -> None:
    crowd = Crowd(labels=4, speakers=90)
    examples = crowd.examples()
    known = np.array([int(name.split()[1]) % 2 == 0 for name in examples.groups])
    probe = trained(picked(examples, known))
    shares = [each.evidence.belonging for each in probe(examples.vectors[~known])]
    assert np.mean(np.array(shares) < 0.05) == pytest.approx(0.05, abs=0.03)
    # More speakers are near than when it was measured, out of fold.
    assert 0.5 <= np.median(shares) < 0.7
    assert min(shares) >= 0
    assert max(shares) <= 1


@pytest.mark.parametrize("shape", [(16,), (1, 15), (2, 1, 16)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorShape, match="vectors"):
        PROBE(np.zeros(shape, np.float32))


def test_vectors_must_be_finite_and_seconds_one_for_each() -> None:
    with pytest.raises(TensorShape, match="finite"):
        PROBE(np.full((1, 16), np.nan, np.float32))
    with pytest.raises(InvalidArgument, match="speech_seconds"):
        PROBE(VECTORS[:2], [1.0])


@given(arrays(np.float32, (3, 16), elements=st.floats(width=32).filter(np.isfinite)))
@settings(max_examples=60, deadline=None)
def test_whatever_is_finite_is_answered_with_finite_numbers(vectors: np.ndarray) -> None:
    for each in PROBE(vectors):
        assert all(0 <= score.probability <= 1 for score in each.scores)
        assert 0 <= each.evidence.belonging <= 1
        assert np.isfinite(
            [each.evidence.logit, each.evidence.energy, each.evidence.distance]
        ).all()


def test_a_renamed_probe_answers_the_same() -> None:
    other = PROBE.renamed("other", 7)
    assert (other.info.name, other.info.version) == ("other", 7)
    assert other.info.digest == PROBE.info.digest
    assert other(VECTORS[:5]) == PROBE(VECTORS[:5])


def test_threads_may_ask_at_once() -> None:
    fresh = Probe(PROBE.info, PROBE.numbers)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: fresh(VECTORS[:30]), range(24)))
    assert all(each == answers[0] for each in answers)


def test_a_vector_is_classified_in_about_a_millisecond() -> None:
    probe = large()
    one = np.random.default_rng(1).normal(size=(1, 1024)).astype(np.float32)
    probe(one)
    took = []
    for _ in range(50):
        began = time.perf_counter()
        probe(one, [1.0])
        took.append(time.perf_counter() - began)
    assert min(took) < 0.005  # 0.3 ms on a quiet core
