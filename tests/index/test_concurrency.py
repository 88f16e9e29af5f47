import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedsvc.filters import Equals
from embedsvc.index import Catalog, Collection, WriteMode
from tests.index.builders import EAGER, SEGMENTATION, recording, space

DIM = 32
WRITERS = 3


class Traffic:
    """Threads that write, search, replace and compact at once, and what they saw go wrong."""

    def __init__(self, collection: Collection, seconds: float) -> None:
        self.collection = collection
        self.deadline = time.monotonic() + seconds
        self.acknowledged: list[list[tuple[str, int]]] = [[] for _ in range(WRITERS)]
        self.wrong: list[str] = []
        self.searches = 0

    def run(self) -> None:
        work: list[Callable[[], None]] = [partial(self.write, n) for n in range(WRITERS)]
        work += [partial(self.search, n) for n in range(2)]
        work += [self.replace, self.watch, self.compact]
        threads = [threading.Thread(target=self.guard, args=(call,)) for call in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guard(self, call: Callable[[], None]) -> None:
        try:
            while time.monotonic() < self.deadline and not self.wrong:
                call()
        except Exception as error:  # noqa: BLE001  # reported by the test
            self.wrong.append(repr(error))

    def write(self, number: int) -> None:
        done = self.acknowledged[number]
        seed = number + WRITERS * len(done) + 1
        batch = [recording(f"w{seed}", seed, dim=DIM, metadata={"writer": number})]
        self.collection.add(batch, mode=WriteMode.INSERT)
        done.append((f"w{seed}", seed))

    def search(self, number: int) -> None:
        """What was acknowledged before the search began is found by it."""
        done = self.acknowledged[number]
        if not done:
            return
        id, seed = done[-1 - self.searches % min(len(done), 50)]
        query = recording(id, seed, dim=DIM).segments[0].vector
        condition = Equals("writer", number) if self.searches % 2 else None
        found = self.collection.search(query, 3, condition)
        self.searches += 1
        if not found.hits or found.hits[0].id != id:
            self.wrong.append(f"{id} was acknowledged and not found")

    def replace(self) -> None:
        self.collection.add([recording("same", 0, dim=DIM)], mode=WriteMode.UPSERT)

    def watch(self) -> None:
        """A recording that is only ever replaced is there at every moment, once."""
        query = recording("same", 0, dim=DIM).segments[0].vector
        found = self.collection.search(query, 2)
        if [hit.id for hit in found.hits].count("same") != 1:
            self.wrong.append("a replaced recording was gone, or there twice")

    def compact(self) -> None:
        self.collection.compact()
        time.sleep(0.02)


def soak(directory: Path, seconds: float) -> Traffic:
    with Catalog(directory, EAGER) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add([recording("same", 0, dim=DIM)], mode=WriteMode.UPSERT)
        traffic = Traffic(collection, seconds)
        traffic.run()
        assert collection._upkeeps[0].compaction_error is None
    assert traffic.wrong == []
    with Catalog(directory, EAGER) as catalog:
        collection = catalog.get("x")
        written = [id for done in traffic.acknowledged for id, _ in done]
        assert collection.count() == len(written) + 1
        assert not collection.get(written)[1]
    return traffic


def test_writers_searchers_and_compaction_agree(tmp_path: Path) -> None:
    traffic = soak(tmp_path, 3.0)
    assert traffic.searches > 20


@pytest.mark.slow
def test_they_agree_for_a_minute(tmp_path: Path) -> None:
    soak(tmp_path, 60.0)


def test_searches_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with Catalog(tmp_path, EAGER) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        items = [recording(f"r{n}", n, dim=DIM) for n in range(300)]
        collection.add(items, mode=WriteMode.UPSERT)
        wrong: list[int] = []

        def search(first: int) -> None:
            for n in range(first, 300, 8):
                hit = collection.search(items[n].segments[0].vector, 1).hits[0]
                if hit.id != f"r{n}" or not np.isclose(hit.score, 1.0, atol=1e-3):
                    wrong.append(n)

        threads = [threading.Thread(target=search, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
