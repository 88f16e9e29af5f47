import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from embedsvc.index import Catalog, Tuning, WriteMode
from embedsvc.index.compactor import Compactor
from tests.index.builders import EAGER, SEGMENTATION, Oracle, assert_finds, recording, space, vector

PATIENCE = 10.0


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Work:
    """Succeeds, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return True


def test_work_asked_for_twice_while_it_waits_is_done_once() -> None:
    compactor, gate, done = Compactor(1.0), threading.Event(), Work()
    compactor.request("busy", lambda: gate.wait(PATIENCE))
    for _ in range(5):
        compactor.request("x", done)
    gate.set()
    wait_until(lambda: done.count)
    compactor.close()
    assert done.count == 1


def test_failed_work_is_tried_again_later_and_later() -> None:
    compactor = Compactor(0.05)
    times: list[float] = []

    def work() -> bool:
        times.append(time.monotonic())
        return len(times) == 4

    compactor.request("x", work)
    wait_until(lambda: len(times) == 4)
    compactor.close()
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[0] >= 0.05
    assert waits[1] >= 0.1
    assert waits[2] >= 0.2


def test_failing_work_does_not_hold_up_other_work() -> None:
    compactor, done = Compactor(60.0), Work()
    compactor.request("bad", lambda: False)
    compactor.request("good", done)
    wait_until(lambda: done.count)
    compactor.forget("bad")
    compactor.close()


def test_a_closed_compactor_takes_no_work() -> None:
    compactor = Compactor(1.0)
    compactor.close()
    compactor.request("x", lambda: pytest.fail("ran"))
    assert compactor._thread is None


def test_a_long_tail_and_many_deletions_cause_compaction(tmp_path: Path) -> None:
    oracle = Oracle()
    with Catalog(tmp_path, EAGER) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        for n in range(30):
            item = recording(f"r{n}", n)
            collection.add([item], mode=WriteMode.UPSERT)
            oracle.put(item)
        wait_until(lambda: len(collection._store.view.spaces[0].base) > 0)
        for n in range(20):
            collection.delete([f"r{n}"])
            del oracle.recordings[f"r{n}"]
        wait_until(lambda: collection._store.view.dead(collection._identity.parts[0]) <= 4)
        assert_finds(collection, oracle, vector(1), 50)


def test_a_failed_compaction_is_repeated_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = Tuning(tail_limit=2, ballast_bytes=0, retry_seconds=0.2)
    with monkeypatch.context() as patch, Catalog(tmp_path, tuning) as catalog:
        patch.setattr("embedsvc.index.base.replace_file", lambda *_: 1 / 0)
        collection = catalog.create("x", space(), SEGMENTATION)
        collection.add([recording(f"r{n}", n) for n in range(5)], mode=WriteMode.UPSERT)
        wait_until(lambda: collection._upkeeps[0].compaction_error is not None)
        assert isinstance(collection._upkeeps[0].compaction_error, ZeroDivisionError)
        patch.undo()
        wait_until(lambda: len(collection._store.view.spaces[0].base) == 5)
        wait_until(lambda: collection._upkeeps[0].compaction_error is None)


def test_a_collection_is_deleted_while_it_is_compacted(tmp_path: Path) -> None:
    with Catalog(tmp_path, EAGER) as catalog:
        for round_ in range(10):
            collection = catalog.create("x", space(), SEGMENTATION)
            items = [recording(f"r{n}", n) for n in range(60)]
            collection.add(items, mode=WriteMode.UPSERT)
            time.sleep(0.001 * round_)
            catalog.delete("x")
        assert list((tmp_path / "collections").iterdir()) == []
