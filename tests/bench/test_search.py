from pathlib import Path

import numpy as np
import pytest

from embedsvc import samples
from embedsvc.bench import search, spoken, vectors
from embedsvc.errors import InvalidArgument


def quiet(_: str) -> None:
    pass


def test_an_exact_index_finds_all_that_is_there_behind_every_filter(tmp_path: Path) -> None:
    searched = search.measure(vectors.of_dim(2_000, 10, 32), tmp_path, 1, (), quiet)
    (ours,) = searched.engines
    assert [row.share for row in ours.rows] == list(search.SHARES)
    for row in ours.rows:
        assert row.exact
        assert row.recall > 0.95  # vectors are stored in half precision
        assert row.latency["p50"] <= row.latency["p95"] <= row.latency["p99"]
        assert row.alone.median > 0
    assert ours.rows[-1].recall == 1
    assert ours.made.resident > 0


def test_vectors_of_speech_stay_near_the_clip_they_are_of() -> None:
    found = vectors.of_speech(300, 5)
    unit = found.stored / np.linalg.norm(found.stored, axis=1, keepdims=True)
    assert found.queries.shape == (5, found.stored.shape[1])
    (others,) = np.nonzero(unit @ unit[0] > 0.6)
    # Clips come in turn, and those of the first come again after all others.
    assert len(others) > 1
    assert len(set(np.diff(others))) == 1


def test_a_file_gives_what_is_stored_and_what_is_asked(tmp_path: Path) -> None:
    made = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    np.savez(tmp_path / "some.npz", vectors=made)
    found = vectors.of_file(tmp_path / "some.npz", None, 5)
    assert (len(found.stored), len(found.queries)) == (25, 5)
    together = np.concatenate([found.stored, found.queries])
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
        vectors.of_file(path, None, 5)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="must hold an array"):
        vectors.of_file(tmp_path / "nothing.npz", None, 5)


def test_vectors_that_are_saved_are_those_that_are_read(tmp_path: Path) -> None:
    made = vectors.of_dim(30, 8, 4)
    vectors.save(made, tmp_path / "kept.npz")
    found = vectors.of_file(tmp_path / "kept.npz", 20, 4)
    np.testing.assert_array_equal(found.stored, made.stored[:20])
    np.testing.assert_array_equal(found.queries, made.queries[::2])
    assert found.about == made.about


def test_a_store_that_is_not_installed_is_left_out_and_told(tmp_path: Path) -> None:
    searched = search.measure(vectors.of_dim(50, 2, 4), tmp_path, 1, ("nothing",), quiet)
    assert [engine.name for engine in searched.engines] == ["embedsvc"]
    ((name, why),) = searched.skipped
    assert name == "nothing"
    assert why


@pytest.mark.parametrize("name", ["hnswlib", "usearch"])
def test_a_store_beside_ours_finds_the_same(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name)
    searched = search.measure(vectors.of_dim(1_000, 5, 16), tmp_path, 1, (name,), quiet)
    for ours, theirs in zip(*(engine.rows for engine in searched.engines), strict=True):
        assert theirs.share == ours.share
        assert theirs.recall > 0.9


def test_speech_is_asked_with_other_recordings_and_other_folders(tmp_path: Path) -> None:
    clips = [clip.data() for clip in samples.clips("archive")]
    for number, data in enumerate(clips * 2):
        folder = tmp_path / f"set{number % 6}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.opus").write_bytes(data)
    made = spoken.of_folder(tmp_path, 500, 8, quiet)
    assert made.stored.shape == (500, spoken.WIDTH)
    assert made.asked.shape == (8, spoken.WIDTH)
    assert np.isfinite(made.stored).all()
    assert np.allclose(made.stored.astype(np.float32).std(0).mean(), 1, atol=0.05)
    with pytest.raises(InvalidArgument, match="at least 5 folders"):
        spoken.of_folder(tmp_path / "set0", 5, 2, quiet)
