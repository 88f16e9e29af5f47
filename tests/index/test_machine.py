"""Any order of writes, deletions, searches, compactions, corruptions and restarts."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from embedsvc.errors import AlreadyExists, RecordingNotFound
from embedsvc.filters import And, Equals, Exists, Filter, Not, Range, matches
from embedsvc.index import Catalog, Collection, WriteMode
from embedsvc.types import Recording, Segment, Space
from tests.index.builders import (
    EAGER,
    SEGMENTATION,
    TWO,
    Oracle,
    assert_finds,
    recording,
    space,
    vector,
)

DIMS = tuple(each.dim for each in TWO.values())
ids = st.sampled_from([f"r{n}" for n in range(12)])
seeds = st.integers(0, 30)
places = st.integers(0, 1)
labels = st.fixed_dictionaries(
    {}, optional={"n": st.integers(0, 3), "lang": st.sampled_from(["pol", "eng"])}
)
recordings = st.builds(
    recording, ids, seeds, st.integers(1, 4), metadata=labels, more=st.just((DIMS[1],))
)
conditions: st.SearchStrategy[Filter] = st.sampled_from(
    [
        Equals("lang", "pol"),
        Range("n", gte=1, lt=3),
        Not(Exists("n")),
        And((Exists("lang"), Not(Equals("n", 2)))),
    ]
)


class CollectionMachine(RuleBasedStateMachine):
    """A collection beside a dictionary."""

    spaces: ClassVar[Mapping[str, Space]] = {"": space()}

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.oracle = Oracle()
        self.catalog: Catalog
        self.collection: Collection

    @initialize()
    def begin(self) -> None:
        self.catalog = Catalog(self.directory, EAGER)
        self.collection = self.catalog.create("x", self.spaces, SEGMENTATION)

    def fitting(self, item: Recording) -> Recording:
        """The same with a vector of each space there is."""
        segments = (
            Segment.of(each.span, each.vectors[: len(self.spaces)]) for each in item.segments
        )
        return replace(item, segments=tuple(segments))

    @rule(batch=st.lists(recordings, min_size=1, max_size=6))
    def upsert(self, batch: list[Recording]) -> None:
        batch = [self.fitting(item) for item in batch]
        assert not self.collection.add(batch, mode=WriteMode.UPSERT).failures
        for item in batch:
            self.oracle.put(item)

    @rule(item=recordings, mode=st.sampled_from([WriteMode.INSERT, WriteMode.UPDATE]))
    def insert_or_update(self, item: Recording, mode: WriteMode) -> None:
        item = self.fitting(item)
        exists = item.id in self.oracle.recordings
        added = self.collection.add([item], mode=mode)
        if exists == (mode is WriteMode.UPDATE):
            assert not added.failures
            self.oracle.put(item)
        else:
            expected = AlreadyExists if exists else RecordingNotFound
            assert isinstance(added.failures[0], expected)

    @rule(victims=st.lists(ids, max_size=4))
    def delete(self, victims: list[str]) -> None:
        expected = len(set(victims) & self.oracle.recordings.keys())
        assert self.collection.delete(victims).count == expected
        for id in victims:
            self.oracle.recordings.pop(id, None)

    @rule(condition=conditions)
    def delete_where(self, condition: Filter) -> None:
        victims = [
            id for id, item in self.oracle.recordings.items() if matches(condition, item.metadata)
        ]
        assert self.collection.delete_where(condition).count == len(victims)
        for id in victims:
            del self.oracle.recordings[id]

    @rule(
        seed=seeds,
        k=st.integers(1, 60),
        condition=st.none() | conditions,
        group=st.booleans(),
        place=places,
    )
    def search(self, seed: int, k: int, condition: Filter | None, group: bool, place: int) -> None:
        place %= len(self.spaces)
        query = vector(seed * 1_000 + 500 * place, DIMS[place])
        assert_finds(self.collection, self.oracle, query, k, condition, group=group, place=place)

    @rule(condition=conditions)
    def filter(self, condition: Filter) -> None:
        expected = [
            id for id, item in self.oracle.recordings.items() if matches(condition, item.metadata)
        ]
        page = self.collection.page(condition, limit=100)
        assert [item.id for item in page.recordings] == expected
        assert self.collection.count(condition) == len(expected)

    @rule()
    def compact(self) -> None:
        self.collection.compact()

    @rule(place=places)
    def compact_one(self, place: int) -> None:
        self.collection._upkeeps[place % len(self.spaces)].compact()

    @rule()
    def reopen(self) -> None:
        self.catalog.close()
        self.catalog = Catalog(self.directory, EAGER)
        self.collection = self.catalog.get("x")

    # Whether there is a base yet depends on a thread, so that it may not decide what is drawn.
    @rule(share=st.floats(0, 1, exclude_max=True), name=st.sampled_from(["CURRENT", "base-*"]))
    def corrupt(self, share: float, name: str) -> None:
        self.catalog.close()
        for path in self.directory.rglob(name):
            content = bytearray(path.read_bytes())
            content[int(share * len(content))] ^= 0x10
            path.write_bytes(content)
        self.catalog = Catalog(self.directory, EAGER)
        self.collection = self.catalog.get("x")

    @invariant()
    def counts_agree(self) -> None:
        info = self.collection.info()
        held = self.oracle.recordings.values()
        assert info.recordings == len(held)
        assert info.segments == sum(len(item.segments) for item in held)

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()
        shutil.rmtree(self.directory)


class TwoSpacesMachine(CollectionMachine):
    """The same with two spaces."""

    spaces = TWO


TestTwoSpacesMachine = TwoSpacesMachine.TestCase
TestTwoSpacesMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)

TestCollectionMachine = CollectionMachine.TestCase
TestCollectionMachine.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
