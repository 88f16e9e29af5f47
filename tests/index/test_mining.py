import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.index import neighbors
from embedsvc.index.mining import copies, groups, translations
from embedsvc.index.neighbors import nearest

DIM = 16


def units(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, DIM))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float16)


def pass_by(_: int) -> None:
    """Nobody wants to know."""


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 9), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_nearest_are_those_of_plain_arithmetic(
    count: int, others: int, k: int, same: bool
) -> None:
    queries = units(count, 1)
    stored = queries if same else units(others, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbors, "BLOCK", 7)
        patch.setattr(neighbors, "ROWS", 5)
        found = nearest(queries, stored, k, pass_by, same=same)
    scores = queries.astype(np.float32) @ stored.astype(np.float32).T
    if same:
        np.fill_diagonal(scores, -np.inf)
    there = max(0, len(stored) - same)
    expected = -np.sort(-scores, axis=1)[:, : min(k, there)]
    assert found.scores.shape == found.places.shape == (count, k)
    np.testing.assert_allclose(found.scores[:, : expected.shape[1]], expected, atol=1e-5)
    assert (found.places[:, there:] == -1).all()
    assert not (found.places == np.arange(count)[:, None]).any() or not same


def test_it_tells_how_far_it_is_and_can_be_ended() -> None:
    seen: list[int] = []
    nearest(units(5_000, 1), units(10, 2), 2, seen.append)
    assert seen == [0, 2_048, 4_096, 5_000]

    def leave(_: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        nearest(units(10, 1), units(10, 2), 2, leave)


def test_translations_are_paired_in_spite_of_a_hub() -> None:
    """A vector near to everything has high cosines, and low margins."""
    said = units(40, 3).astype(np.float64)
    hub = said.sum(axis=0) + 3
    noise = np.random.default_rng(4)
    there = said[::-1] + 0.15 * noise.standard_normal(said.shape) + 0.2 * hub / np.linalg.norm(hub)
    right = np.concatenate([there, hub[None] + said.mean(axis=0)])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    pairs = translations(said.astype(np.float16), right.astype(np.float16), 4, pass_by)
    proper = pairs.left + pairs.right == 39
    assert proper[:38].all()
    assert proper.sum() == 40
    assert (np.diff(pairs.scores) <= 0).all()
    assert pairs.scores[0] > 1 > pairs.scores[-1] or len(pairs) == 40


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_nothing_is_in_two_pairs(count: int, others: int, k: int) -> None:
    pairs = translations(units(count, 5), units(others, 6), k, pass_by)
    assert len(set(pairs.left.tolist())) == len(set(pairs.right.tolist())) == len(pairs)
    assert len(pairs) <= min(count, others)
    if count and others:
        assert len(pairs)


def test_copies_of_other_recordings_are_found_once() -> None:
    vectors = units(30, 7)
    vectors[[11, 12, 25]] = vectors[3]
    owners = np.arange(30) // 2
    pairs = copies(vectors, owners, 0.99, 5, pass_by)
    found = {(int(a), int(b)) for a, b in zip(pairs.left, pairs.right, strict=True)}
    assert found == {(3, 11), (3, 12), (3, 25), (11, 12), (11, 25), (12, 25)}
    assert owners[11] != owners[12]
    ((*numbers,),) = groups(pairs, owners)
    assert sorted(numbers) == list(range(6))


def test_segments_of_one_recording_are_no_copies() -> None:
    vectors = np.repeat(units(5, 8), 2, axis=0)
    assert not len(copies(vectors, np.arange(10) // 2, 0.9, 3, pass_by))


def test_groups_hang_together_by_pairs() -> None:
    vectors = units(8, 9)
    vectors[[4, 6]] = vectors[0]
    vectors[5] = vectors[1]
    pairs = copies(vectors, np.arange(8), 0.99, 4, pass_by)
    members = [
        {int(side[number]) for number in numbers for side in (pairs.left, pairs.right)}
        for numbers in groups(pairs, np.arange(8))
    ]
    assert sorted(members, key=min) == [{0, 4, 6}, {1, 5}]
