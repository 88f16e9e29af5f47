import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from embedsvc.errors import DataLoss
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from tests.index.builders import (
    EAGER,
    SEGMENTATION,
    SMALL,
    Oracle,
    assert_finds,
    recording,
    space,
    vector,
)

QUERIES = [vector(seed) for seed in range(5)]


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def folder(tmp_path: Path, oracle: Oracle) -> Path:
    """A collection with a base, a tail, and one deletion in each."""
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        for first in (0, 40):
            for n in range(first, first + 40):
                oracle.put(recording(f"r{n}", n))
            items = [oracle.recordings[f"r{n}"] for n in range(first, first + 40)]
            collection.add(items, mode=WriteMode.UPSERT)
            if not first:
                collection.compact()
        for id in ("r3", "r77"):
            collection.delete([id])
            del oracle.recordings[id]
    (folder,) = (tmp_path / "collections").iterdir()
    return folder


def answers_are_right(folder: Path, oracle: Oracle, tuning: Tuning = SMALL) -> int:
    """Open it, compare with the oracle, and tell how many segments its base holds."""
    with Catalog(folder.parent.parent, tuning) as catalog:
        collection = catalog.get("x")
        held = len(collection._store.view.spaces[0].base)
        for query in QUERIES:
            assert_finds(collection, oracle, query, 100)
        assert collection.info().recordings == len(oracle.recordings)
        return held


def base_of(folder: Path) -> Path:
    (base,) = folder.glob("base-*.faiss")
    return base


def test_a_whole_base_is_used(folder: Path, oracle: Oracle) -> None:
    assert answers_are_right(folder, oracle) == 40


def test_a_flipped_byte_anywhere_in_the_base_is_detected(folder: Path, oracle: Oracle) -> None:
    base = base_of(folder)
    whole = base.read_bytes()
    for place in range(0, len(whole), 97):
        base.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        assert answers_are_right(folder, oracle) == 0
    base.write_bytes(whole)
    assert answers_are_right(folder, oracle) == 40


def test_a_truncated_base_is_detected(folder: Path, oracle: Oracle) -> None:
    base = base_of(folder)
    whole = base.read_bytes()
    for size in [0, 1, 100, len(whole) // 2, len(whole) - 1]:
        base.write_bytes(whole[:size])
        assert answers_are_right(folder, oracle) == 0


def test_a_flipped_byte_anywhere_in_current_is_detected(folder: Path, oracle: Oracle) -> None:
    current = folder / "CURRENT"
    whole, base = current.read_bytes(), base_of(folder)
    content = base.read_bytes()
    for place in range(0, len(whole), 7):
        current.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        base.write_bytes(content)
        answers_are_right(folder, oracle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe"])
def test_a_current_that_is_nothing_of_ours_is_ignored(
    folder: Path, oracle: Oracle, content: bytes
) -> None:
    (folder / "CURRENT").write_bytes(content)
    assert answers_are_right(folder, oracle) == 0


@pytest.mark.parametrize("name", ["CURRENT", "base"])
def test_a_lost_file_is_made_again(folder: Path, oracle: Oracle, name: str) -> None:
    (folder / "CURRENT" if name == "CURRENT" else base_of(folder)).unlink()
    assert answers_are_right(folder, oracle) == 0


def test_a_large_collection_without_base_gets_one_at_once(folder: Path, oracle: Oracle) -> None:
    (folder / "CURRENT").unlink()
    assert answers_are_right(folder, oracle, EAGER) == 78
    with Catalog(folder.parent.parent, EAGER) as catalog:
        catalog.get("x")
        deadline = time.monotonic() + 10
        while not (folder / "CURRENT").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_base_of_another_collection_is_not_believed(folder: Path, oracle: Oracle) -> None:
    with Catalog(folder.parent.parent, SMALL) as catalog:
        other = catalog.create("y", space(), SEGMENTATION)
        other.add([recording(f"r{n}", 500 + n) for n in range(40)], mode=WriteMode.UPSERT)
        other.compact()
    (stranger,) = (path for path in folder.parent.iterdir() if path != folder)
    for path in folder.glob("base-*"):
        path.unlink()
    for path in [base_of(stranger), stranger / "CURRENT"]:
        (folder / path.name).write_bytes(path.read_bytes())
    assert answers_are_right(folder, oracle) == 0


def test_a_base_newer_than_restored_rows_is_not_believed(folder: Path, oracle: Oracle) -> None:
    rows = (folder / "rows.db").read_bytes()
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        collection.add([recording("later", 900)], mode=WriteMode.UPSERT)
        collection.compact()
    (folder / "rows.db").write_bytes(rows)
    assert answers_are_right(folder, oracle) == 0


def steps(monkeypatch: pytest.MonkeyPatch, fail_at: int) -> Callable[[], int]:
    """Make the `fail_at`-th of the file operations raise; what returns tells how many ran."""
    done = 0

    def counted(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal done
            done += 1
            if done == fail_at:
                raise KeyboardInterrupt(name)
            return original(*arguments, **named)

        return call

    for owner, name in [(os, "fsync"), (Path, "replace"), (Path, "unlink")]:
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    return lambda: done


def test_compaction_may_stop_at_any_step(
    folder: Path, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    stopped = 0
    for fail_at in range(1, 20):
        for path in folder.iterdir():
            path.unlink()
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        with Catalog(folder.parent.parent, SMALL) as catalog:
            collection = catalog.get("x")
            with monkeypatch.context() as patch:
                ran = steps(patch, fail_at)
                try:
                    collection.compact()
                except KeyboardInterrupt:
                    stopped += 1
            assert_finds(collection, oracle, QUERIES[0], 100)
        answers_are_right(folder, oracle)
        assert not list(folder.glob("*.tmp"))
        if ran() < fail_at:
            break
    assert stopped >= 6


def test_nothing_deleted_is_left_on_disk_after_compaction(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(64), SEGMENTATION)
        collection.add(
            [
                recording("secret-id", 1, dim=64, metadata={"a": "secret-value"}),
                recording("b", 2, dim=64),
            ],
            mode=WriteMode.UPSERT,
        )
        collection.compact()
        secret = collection.vectors("secret-id")[0].vector.astype("<f2").tobytes()
        collection.delete(["secret-id"])
        collection.compact()
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for needle in (b"secret-id", b"secret-value", secret):
        assert needle not in left


def damage(folder: Path, ids: list[str], how: str) -> None:
    connection = apsw.Connection(str(folder / "rows.db"))
    for id in ids:
        connection.execute(
            f"{how} WHERE sid IN (SELECT sid FROM segment JOIN recording USING (rid) WHERE id = ?)",
            (id,),
        )
    connection.close()


@pytest.mark.parametrize(
    "how",
    [
        "UPDATE vector SET data = randomblob(16)",
        "UPDATE vector SET crc = crc + 1",
        "DELETE FROM vector",
        "UPDATE vector SET data = x'00'",
    ],
)
def test_damaged_rows_are_named_and_can_be_deleted(folder: Path, oracle: Oracle, how: str) -> None:
    damage(folder, ["r50", "r60"], how)
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        for call in (
            lambda: collection.search(QUERIES[0], 1),
            lambda: collection.add([recording("new")], mode=WriteMode.UPSERT),
            lambda: collection.get(["r1"]),
            collection.page,
            collection.compact,
        ):
            with pytest.raises(DataLoss, match="'r50', 'r60'"):
                call()
        assert collection.info().recordings == 78
        healthy = catalog.create("healthy", space(), SEGMENTATION)
        assert healthy.count() == 0
        collection.delete(["r50"])
        with pytest.raises(DataLoss, match="'r60' fail"):
            collection.search(QUERIES[0], 1)
        collection.delete(["r60"])
        del oracle.recordings["r50"], oracle.recordings["r60"]
        for query in QUERIES:
            assert_finds(collection, oracle, query, 100)
        collection.add([recording("new", 700)], mode=WriteMode.UPSERT)
    oracle.put(recording("new", 700))
    answers_are_right(folder, oracle)


def test_damage_under_a_whole_base_is_met_when_the_base_is_rebuilt(
    folder: Path, oracle: Oracle
) -> None:
    damage(folder, ["r1"], "UPDATE vector SET crc = crc + 1")
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        assert_finds(collection, oracle, QUERIES[0], 100)
        with pytest.raises(DataLoss, match="'r1'"):
            collection.vectors("r1")
        with pytest.raises(DataLoss, match="'r1'"):
            collection.compact()
        assert_finds(collection, oracle, QUERIES[0], 100)


def test_many_damaged_recordings_are_counted(folder: Path) -> None:
    damage(folder, [f"r{n}" for n in range(41, 61)], "DELETE FROM vector")
    with (
        Catalog(folder.parent.parent, SMALL) as catalog,
        pytest.raises(DataLoss, match="and 10 more"),
    ):
        catalog.get("x").search(QUERIES[0], 1)


@pytest.fixture
def eager(tmp_path: Path) -> Iterator[Collection]:
    with Catalog(tmp_path, EAGER) as catalog:
        yield catalog.create("x", space(), SEGMENTATION)


def test_a_base_is_never_the_only_place_of_a_deletion(eager: Collection, oracle: Oracle) -> None:
    chance = random.Random(5)
    for n in range(300):
        item = recording(f"r{chance.randrange(60)}", n)
        eager.add([item], mode=WriteMode.UPSERT)
        oracle.put(item)
        if n % 4 == 0:
            victim = chance.choice(list(oracle.recordings))
            eager.delete([victim])
            del oracle.recordings[victim]
        if n % 25 == 0:
            assert_finds(eager, oracle, QUERIES[n % 5], 100)
    eager.compact()
    assert_finds(eager, oracle, QUERIES[0], 100)
    assert eager._upkeeps[0].compaction_error is None
    current = json.loads((eager._upkeeps[0]._file.directory / "CURRENT").read_bytes())
    assert current["count"] == len(oracle.recordings)
