import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import apsw
import pytest

from embedsvc.errors import DiskFull
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from embedsvc.index.changes import Changes
from embedsvc.index.prepared import Prepared
from embedsvc.index.writer import GROUP
from tests.index.builders import SEGMENTATION, SMALL, Oracle, assert_finds, recording, space, vector
from tests.index.faulty_disk import FullDisk

UPSERT = WriteMode.UPSERT


def put(collection: Collection, oracle: Oracle, id: str, seed: int) -> None:
    item = recording(id, seed)
    collection.add([item], mode=UPSERT)
    oracle.put(item)


def in_threads(calls: Sequence[Callable[[], object]]) -> list[BaseException]:
    """Run all at once; what they raised."""
    raised: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


class Commits:
    """Counts the commits of a collection, each as slow as a slow disk."""

    def __init__(self, collection: Collection, seconds: float) -> None:
        self.count = 0
        self._seconds = seconds
        collection._store.writer._connection.set_commit_hook(self._hook)

    def _hook(self) -> bool:
        self.count += 1
        time.sleep(self._seconds)
        return False


def test_writes_that_wait_for_each_other_share_a_commit(collection: Collection) -> None:
    commits = Commits(collection, 0.05)
    raised = in_threads(
        [partial(collection.add, [recording(f"r{n}", n)], mode=UPSERT) for n in range(30)]
    )
    assert not raised
    assert commits.count <= 10
    assert collection.count() == 30
    assert collection.sequence == 30


def test_a_group_has_a_limit(collection: Collection) -> None:
    commits = Commits(collection, 0.05)
    half = [[recording(f"r{n}-{j}", n * 1_000 + j) for j in range(GROUP // 2)] for n in range(8)]
    assert not in_threads([partial(collection.add, batch, mode=UPSERT) for batch in half])
    assert commits.count >= 4
    assert collection.count() == 8 * (GROUP // 2)


def test_each_of_a_group_gets_its_own_answer(collection: Collection) -> None:
    Commits(collection, 0.05)
    collection.add([recording("there")], mode=UPSERT)
    outcomes: dict[int, bool] = {}

    def insert(n: int) -> None:
        id = "there" if n % 2 else f"r{n}"
        outcomes[n] = bool(collection.add([recording(id, n)], mode=WriteMode.INSERT).failures)

    assert not in_threads([partial(insert, n) for n in range(20)])
    assert outcomes == {n: n % 2 == 1 for n in range(20)}
    assert collection.count() == 11


def test_a_write_that_breaks_does_not_take_its_group_with_it(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Commits(collection, 0.05)
    original = Changes._insert

    def insert(self: Changes, recording: Prepared) -> None:
        if recording.id == "bug":
            raise RuntimeError("a bug")
        original(self, recording)

    monkeypatch.setattr(Changes, "_insert", insert)
    ids = ["bug" if n == 5 else f"r{n}" for n in range(20)]
    calls = [partial(collection.add, [recording(id, 1)], mode=UPSERT) for id in ids]
    assert [str(error) for error in in_threads(calls)] == ["a bug"]
    assert collection.count() == 19
    assert len(collection.search(vector(1), 100).hits) == 19


def test_an_interrupted_write_is_not_half_done(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = Oracle()
    put(collection, oracle, "a", 1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("embedsvc.index.writer.storage_errors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        collection.add([recording("b", 2)], mode=UPSERT)
    monkeypatch.undo()
    assert_finds(collection, oracle, vector(1))
    put(collection, oracle, "b", 3)
    assert_finds(collection, oracle, vector(1))


class InterruptedAfterCommit:
    """A connection during whose commit somebody presses control-C."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: tuple[object, ...]) -> object:
        cursor = self._connection.execute(sql, *values)
        if sql == "COMMIT":
            raise KeyboardInterrupt
        return cursor


def test_what_is_durable_is_visible_even_after_an_interrupt(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle, writer = Oracle(), collection._store.writer
    put(collection, oracle, "a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_connection", InterruptedAfterCommit(writer._connection))
        with pytest.raises(KeyboardInterrupt):
            collection.add([recording("b", 2)], mode=UPSERT)
    oracle.put(recording("b", 2))
    assert_finds(collection, oracle, vector(1))
    put(collection, oracle, "c", 3)
    assert_finds(collection, oracle, vector(1))


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> FullDisk:
    return FullDisk(f"full-{request.node.name}", tmp_path)


@pytest.fixture
def tight(tmp_path: Path, disk: FullDisk) -> Iterator[Catalog]:
    with Catalog(tmp_path / "data", Tuning(vfs=disk.label, ballast_bytes=2**20)) as catalog:
        yield catalog
        disk.limit, disk.failing = None, False


def fill(collection: Collection, oracle: Oracle, disk: FullDisk) -> None:
    """Write until the disk is full."""
    disk.limit = used(disk.directory) + 300_000
    with pytest.raises(DiskFull):
        put_many(collection, oracle)


def put_many(collection: Collection, oracle: Oracle) -> None:
    for n in range(10_000):
        put(collection, oracle, f"r{n}", n)


def used(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_a_full_disk_loses_nothing_and_acknowledges_nothing(
    tight: Catalog, disk: FullDisk, tmp_path: Path
) -> None:
    collection, oracle = tight.create("x", space(), SEGMENTATION), Oracle()
    fill(collection, oracle, disk)
    sequence = collection.sequence
    for _ in range(3):
        with pytest.raises(DiskFull):
            collection.add([recording("more", 5, segments=2_000)], mode=UPSERT)
    assert collection.sequence == sequence == len(oracle.recordings)
    assert_finds(collection, oracle, vector(1), 100)
    disk.limit = None
    put(collection, oracle, "more", 6)
    tight.close()
    with Catalog(tmp_path / "data", SMALL) as catalog:
        assert_finds(catalog.get("x"), oracle, vector(1), 10_000)


def test_deletion_works_on_a_full_disk(tight: Catalog, disk: FullDisk, tmp_path: Path) -> None:
    collection, oracle = tight.create("x", space(), SEGMENTATION), Oracle()
    fill(collection, oracle, disk)
    ballast = tmp_path / "data" / "BALLAST"
    assert ballast.stat().st_size == 2**20
    gone = list(oracle.recordings)[::2]
    disk.limit = used(disk.directory)
    assert collection.delete(gone).count == len(gone)
    assert not ballast.exists()
    for id in gone:
        del oracle.recordings[id]
    assert_finds(collection, oracle, vector(1), 100)


def test_a_collection_can_be_dropped_from_a_full_disk(tight: Catalog, disk: FullDisk) -> None:
    collection, oracle = tight.create("x", space(), SEGMENTATION), Oracle()
    fill(collection, oracle, disk)
    disk.limit = used(disk.directory)
    tight.delete("x")
    assert tight.names() == []


def test_a_failing_disk_is_reported_and_survived(tight: Catalog, disk: FullDisk) -> None:
    collection, oracle = tight.create("x", space(), SEGMENTATION), Oracle()
    put(collection, oracle, "a", 1)
    disk.failing = True
    for _ in range(3):
        with pytest.raises(DiskFull):
            collection.add([recording("b", 2)], mode=UPSERT)
    disk.failing = False
    put(collection, oracle, "c", 3)
    assert_finds(collection, oracle, vector(1))


def test_a_full_disk_fails_compaction_and_nothing_else(
    tight: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, oracle = tight.create("x", space(), SEGMENTATION), Oracle()
    put(collection, oracle, "a", 1)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("embedsvc.index.base.replace_file", full)
    with pytest.raises(DiskFull):
        collection.compact()
    assert not collection._upkeeps[0]._try_compact()
    assert isinstance(collection._upkeeps[0].compaction_error, DiskFull)
    put(collection, oracle, "b", 2)
    assert_finds(collection, oracle, vector(1))
    monkeypatch.undo()
    assert collection._upkeeps[0]._try_compact()
    assert collection._upkeeps[0].compaction_error is None
    assert_finds(collection, oracle, vector(1))


def test_the_sqlite_in_use_has_no_wal_reset_bug() -> None:
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)
