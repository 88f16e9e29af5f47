from pathlib import Path

import numpy as np
import pytest

from embedsvc.bench import search
from embedsvc.errors import InvalidArgument


def quiet(_: str) -> None:
    pass


def test_an_exact_index_finds_all_that_is_there_behind_every_filter(tmp_path: Path) -> None:
    vectors = search.of_dim(2_000, 10, 32)
    searched = search.measure(vectors, tmp_path, 1, quiet)
    assert [row.share for row in searched.rows] == list(search.SHARES)
    for row in searched.rows:
        assert row.exact
        assert row.recall > 0.95  # vectors are stored in half precision
        assert row.latency["p50"] <= row.latency["p95"] <= row.latency["p99"]
        assert row.alone.median > 0
    assert searched.rows[-1].recall == 1


def test_vectors_of_speech_stay_near_the_clip_they_are_of() -> None:
    vectors = search.of_speech(300, 5)
    unit = vectors.stored / np.linalg.norm(vectors.stored, axis=1, keepdims=True)
    assert vectors.queries.shape == (5, vectors.stored.shape[1])
    (others,) = np.nonzero(unit @ unit[0] > 0.6)
    # Clips come in turn, and those of the first come again after all others.
    assert len(others) > 1
    assert len(set(np.diff(others))) == 1


def test_a_file_gives_what_is_stored_and_what_is_asked(tmp_path: Path) -> None:
    made = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    np.savez(tmp_path / "some.npz", vectors=made)
    vectors = search.of_file(tmp_path / "some.npz", 5)
    assert (len(vectors.stored), len(vectors.queries)) == (25, 5)
    together = np.concatenate([vectors.stored, vectors.queries])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(made, axis=0))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"other": np.ones((9, 2))}, "must hold an array `vectors`"),
        ({"vectors": np.ones(9)}, "must be"),
        ({"vectors": np.ones((3, 2))}, "more than 5 rows"),
    ],
)
def test_a_file_that_will_not_do_is_told(
    tmp_path: Path, arrays: dict[str, np.ndarray], told: str
) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=told):
        search.of_file(path, 5)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="must hold an array"):
        search.of_file(tmp_path / "nothing.npz", 5)
