"""Alignment finds the best path through known labels, as trying all of them does."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embedsvc.ctc.alignment import STAR, Alignment, align, fewest_frames
from embedsvc.ctc.runs import greedy, labels_of
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats
from tests.ctc.made import PHONES, TEXT, collapsed, noise, probability, said, totals

SEEDS = st.integers(0, 999)
LABELS = st.lists(st.integers(1, 2), max_size=4)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 6), LABELS)
def test_the_score_is_that_of_the_best_of_all_paths(
    seed: int, frames: int, labels: list[int]
) -> None:
    assume(fewest_frames(labels) <= frames)
    log_probs = noise(seed, frames, 3)
    probs = np.exp(log_probs)
    best = max(
        probability(probs, path)
        for path in product(range(3), repeat=frames)
        if collapsed(path, 0) == tuple(labels)
    )
    found = align(log_probs, labels, 0)
    assert np.exp(found.score) == pytest.approx(best, rel=1e-5)
    assert found.score <= np.log(totals(log_probs, 0)[tuple(labels)]) + 1e-6
    assert labels_of(found.runs) == tuple(labels)
    assert np.exp(path_score(log_probs, found)) == pytest.approx(best, rel=1e-5)


def path_score(log_probs: Floats, found: Alignment) -> float:
    path = np.zeros(len(log_probs), np.int64)
    for run in found.runs:
        path[run.start : run.end] = run.label
    return float(log_probs[np.arange(len(path)), path].sum())


@settings(deadline=None)
@given(SEEDS, st.integers(0, 60), st.integers(2, 9), st.sampled_from([0.5, 3]))
def test_greedy_labels_are_aligned_to_the_frames_they_were_read_from(
    seed: int, frames: int, size: int, sharpness: float
) -> None:
    log_probs = noise(seed, frames, size, sharpness)
    runs = greedy(log_probs, 0)
    assert align(log_probs, labels_of(runs), 0).runs == runs


@settings(deadline=None)
@given(SEEDS, st.integers(2, 30), st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_runs_are_in_order_and_none_is_empty(seed: int, frames: int, labels: list[int]) -> None:
    assume(fewest_frames(labels) <= frames)
    runs = align(noise(seed, frames, 6), labels, 0).runs
    ends = [0, *(run.end for run in runs)]
    assert all(end <= run.start < run.end <= frames for end, run in zip(ends, runs, strict=False))


def test_equal_labels_are_parted_by_a_blank() -> None:
    first, second = align(said("aaaa", TEXT), [1, 1], 0).runs
    assert first.end < second.start


def test_labels_that_need_more_frames_are_refused() -> None:
    align(noise(0, 4, 3), [1, 1, 2], 0)
    with pytest.raises(InvalidArgument, match="its 3 labels need 4 frames"):
        align(noise(0, 3, 3), [1, 1, 2], 0)
    with pytest.raises(InvalidArgument, match="need 1 frames"):
        align(noise(0, 0, 3), [1], 0)


def test_labels_without_probability_are_refused() -> None:
    log_probs = noise(0, 5, 3)
    log_probs[:, 2] = -np.inf
    with pytest.raises(InvalidArgument, match="probability of zero"):
        align(log_probs, [1, 2], 0)


@pytest.mark.parametrize("label", [0, 3, -2])
def test_labels_outside_the_vocabulary_are_refused(label: int) -> None:
    with pytest.raises(InvalidArgument, match=f"one is {label}"):
        align(noise(0, 5, 3), [1, label], 0)


def test_more_than_memory_allows_is_refused_before_it_is_taken() -> None:
    with pytest.raises(InvalidArgument, match="in parts"):
        align(np.broadcast_to(np.float32(-1), (40_000, 3)), [1, 2] * 5_000, 0)


def test_no_labels_are_all_blank() -> None:
    log_probs = noise(0, 5, 3)
    found = align(log_probs, [], 0)
    assert found.runs == ()
    assert found.score == pytest.approx(float(log_probs[:, 0].sum()))


def test_a_star_covers_what_is_not_written() -> None:
    log_probs = said(".aa.ʃʃ.a.a.", PHONES)
    star, middle, other = align(log_probs, [STAR, 3, STAR], 0).runs
    assert (middle.start, middle.end) == (4, 6)
    assert star.end <= 4
    assert other.end > other.start >= 6
    assert align(log_probs, [3], 0).score < align(log_probs, [STAR, 3, STAR], 0).score


def test_a_minute_of_speech_is_aligned_within_a_second() -> None:
    log_probs = noise(0, 3000, 40, 3)
    labels = np.random.default_rng(0).integers(1, 40, 500).tolist()
    started = time.perf_counter()
    runs = align(log_probs, labels, 0).runs
    assert time.perf_counter() - started < 2
    assert labels_of(runs) == tuple(labels)


@pytest.mark.parametrize("path", ["aʃ", "ʃa"])
def test_a_star_leaves_a_label_the_frames_that_are_its_own(path: str) -> None:
    log_probs = said("".join(4 * label for label in path), PHONES)
    labels = [3 if label == "ʃ" else STAR for label in path]
    assert [(run.start, run.end) for run in align(log_probs, labels, 0).runs] == [(0, 4), (4, 8)]
