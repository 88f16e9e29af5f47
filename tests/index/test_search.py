from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.filters import And, Equals, Exists, Filter, Not, Range
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from embedsvc.types import Limit, MetadataValue, Recording, Segment, Span
from tests.index.builders import (
    DIM,
    EAGER,
    SEGMENTATION,
    SMALL,
    Oracle,
    assert_finds,
    recording,
    space,
    vector,
)

CONDITIONS: list[Filter | None] = [
    None,
    Equals("even", value=True),
    Range("n", lt=3),
    Range("n", gte=10),
    Not(Exists("n")),
    And((Equals("even", value=False), Range("n", gt=50))),
]


def put(collection: Collection, oracle: Oracle, recordings: list[Recording]) -> None:
    collection.add(recordings, mode=WriteMode.UPSERT)
    for item in recordings:
        oracle.put(item)


def numbered(first: int, last: int) -> list[Recording]:
    return [
        recording(f"r{n}", n, segments=1 + n % 3, metadata={"n": n, "even": n % 2 == 0})
        for n in range(first, last)
    ]


def same(id: str, value: np.ndarray | None = None, segments: int = 1) -> Recording:
    one = vector(1) if value is None else value
    return Recording(id, tuple(Segment(Span(n, n + 1), one) for n in range(segments)))


@pytest.fixture
def filled(collection: Collection) -> tuple[Collection, Oracle]:
    """Some of it in the base, some in the tail, some replaced, some deleted."""
    oracle = Oracle()
    put(collection, oracle, numbered(0, 60))
    collection.compact()
    put(collection, oracle, [*numbered(60, 90), recording("r5", 1_005, metadata={"n": 5})])
    for id in ("r7", "r8", "r70"):
        collection.delete([id])
        del oracle.recordings[id]
    return collection, oracle


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("k", [1, 7, 500])
def test_answers_are_those_of_numpy(
    filled: tuple[Collection, Oracle], condition: Filter | None, k: int, group: bool
) -> None:
    collection, oracle = filled
    for seed in range(5):
        assert_finds(collection, oracle, vector(seed), k, condition, group=group)


@pytest.mark.parametrize("gather", [0, 10_000])
def test_both_ways_to_score_a_filtered_base_agree(catalog: Catalog, gather: int) -> None:
    catalog._around = replace(catalog._around, tuning=Tuning(gather_limit=gather, ballast_bytes=0))
    collection, oracle = catalog.create("x", space(), SEGMENTATION), Oracle()
    put(collection, oracle, numbered(0, 80))
    collection.compact()
    for condition in CONDITIONS:
        assert_finds(collection, oracle, vector(3), 10, condition)


def test_a_query_need_not_be_normalized(filled: tuple[Collection, Oracle]) -> None:
    collection, _ = filled
    once = collection.search(vector(1), 5)
    assert collection.search(vector(1) * 2.0**100, 5) == once
    assert collection.search(vector(1) * 2.0**-100, 5) == once


def test_equal_scores_are_ordered_by_age_then_position(collection: Collection) -> None:
    collection.add([same("b", segments=2), same("a")], mode=WriteMode.UPSERT)
    collection.compact()
    collection.add([same("c"), same("b2", segments=2)], mode=WriteMode.UPSERT)
    expected = [("b", 0), ("b", 1), ("a", 0), ("c", 0), ("b2", 0), ("b2", 1)]
    for k in range(1, 7):
        found = collection.search(vector(1), k)
        assert [(hit.id, hit.span.start) for hit in found.hits] == expected[:k]
        assert len({hit.score for hit in found.hits}) == 1


def test_a_hundred_equal_scores_still_give_the_oldest(collection: Collection) -> None:
    collection.add([same(f"r{n}") for n in range(100)], mode=WriteMode.UPSERT)
    collection.compact()
    collection.add([same(f"s{n}") for n in range(100)], mode=WriteMode.UPSERT)
    assert [hit.id for hit in collection.search(vector(1), 3).hits] == ["r0", "r1", "r2"]
    collection.delete([f"r{n}" for n in range(99)])
    assert [hit.id for hit in collection.search(vector(1), 3).hits] == ["r99", "s0", "s1"]


def test_a_score_does_not_depend_on_where_its_segment_is_held(collection: Collection) -> None:
    oracle = Oracle()
    put(collection, oracle, numbered(0, 40))
    before = collection.search(vector(9), 40)
    collection.compact()
    assert collection.search(vector(9), 40).hits == before.hits


def test_few_live_among_many_dead_are_all_found(collection: Collection) -> None:
    near = vector(1)
    collection.add([same(f"dead{n}", near) for n in range(400)], mode=WriteMode.UPSERT)
    collection.add([same(f"live{n}", vector(50 + n)) for n in range(5)], mode=WriteMode.UPSERT)
    collection.compact()
    collection.delete([f"dead{n}" for n in range(400)])
    assert {hit.id for hit in collection.search(near, 5).hits} == {f"live{n}" for n in range(5)}


def test_one_recording_of_many_segments_does_not_crowd_out_others(collection: Collection) -> None:
    collection.add([same("long", segments=500), recording("short", 9)], mode=WriteMode.UPSERT)
    found = collection.search(vector(1), 2, group=True)
    assert [hit.id for hit in found.hits] == ["long", "short"]


def test_a_recording_can_be_left_out(collection: Collection) -> None:
    collection.add([same("a", segments=50), recording("b", 2)], mode=WriteMode.UPSERT)
    assert [hit.id for hit in collection.search(vector(1), 5, exclude_id="a").hits] == ["b"]


def test_an_empty_collection_answers_nothing(collection: Collection) -> None:
    found = collection.search(vector(1), 5)
    assert (found.hits, found.exact, found.scanned, found.sequence) == ((), True, 0, 0)


def test_scanned_counts_the_segments_scored(filled: tuple[Collection, Oracle]) -> None:
    collection, oracle = filled
    few = Range("n", lt=3)
    assert collection.search(vector(1), 1, few).scanned == sum(
        len(item.segments) for item in oracle.recordings.values() if item.metadata["n"] in range(3)
    )
    collection.compact()
    assert collection.search(vector(1), 1).scanned == collection.info().segments


@pytest.mark.parametrize("k", [0, -1, 10_001])
def test_the_number_of_hits_has_limits(collection: Collection, k: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        collection.search(vector(1), k)
    assert caught.value.field == "top_k"


@pytest.mark.parametrize(
    "query", [np.ones(DIM - 1), np.zeros(DIM), np.full(DIM, np.nan), np.ones((DIM, 1))]
)
def test_a_query_that_is_no_direction_is_refused(collection: Collection, query: np.ndarray) -> None:
    with pytest.raises(TensorShape) as caught:
        collection.search(query.astype(np.float32), 1)
    assert caught.value.field == "query"


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    cut=st.integers(0, 40),
    k=st.integers(1, 50),
    group=st.booleans(),
)
def test_any_mix_of_equal_and_different_vectors_is_ranked_as_numpy_does(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], cut: int, k: int, group: bool
) -> None:
    with Catalog(tmp_path_factory.mktemp("any"), EAGER) as catalog:
        collection, oracle = catalog.create("x", space(), SEGMENTATION), Oracle()
        items = [recording(f"r{place}", seed, 2) for place, seed in enumerate(seeds)]
        put(collection, oracle, items[:cut])
        collection.compact()
        put(collection, oracle, items[cut:])
        assert_finds(collection, oracle, vector(seeds[0] * 1_000), k, group=group)


def test_filters_see_a_growing_tail_through_columns_made_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedsvc.index.allowed.PART", 16)
    tuning = Tuning(columns_from=20, gather_limit=4, ballast_bytes=0)
    with Catalog(tmp_path, tuning) as catalog:
        collection, oracle = catalog.create("x", space(), SEGMENTATION), Oracle()
        put(collection, oracle, numbered(0, 30))
        collection.compact()
        for first in range(30, 120, 9):
            put(collection, oracle, numbered(first, first + 9))
            collection.delete([f"r{first + 3}"])
            del oracle.recordings[f"r{first + 3}"]
            for condition in CONDITIONS:
                assert_finds(collection, oracle, vector(first), 10, condition)
        (view,) = collection._store.view.spaces
        assert view.base.columns is not None
        with collection._store.connection() as connection:
            parts = view.tail.metadata.parts(connection, view.tail.sids[: len(view.tail)])
        assert len(parts) > 3
        assert sum(columns.count for _, columns in parts) > len(view.tail) - 32


@given(count=st.integers(1, 4), k=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_no_value_of_a_field_takes_all_the_hits(count: int, k: int) -> None:
    languages = {"a": 20, "b": 5, "c": 1}
    with TemporaryDirectory() as folder, Catalog(Path(folder), EAGER) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        items = [
            recording(f"{name}{n}", 100 * number + n, 2, metadata={"language": name})
            for number, (name, total) in enumerate(languages.items())
            for n in range(total)
        ]
        items += [recording(f"-{n}", 900 + n) for n in range(3)]
        collection.add(items, mode=WriteMode.UPSERT)
        found = collection.search(vector(7), k, limit=Limit("language", count))
        everything = collection.search(vector(7), 1_000)
    seen: Counter[str] = Counter()
    expected = []
    for hit in everything.hits:
        if seen[hit.id[0]] < count:
            seen[hit.id[0]] += 1
            expected.append(hit)
    assert list(found.hits) == expected[:k]
    assert found.exact


def test_values_of_two_kinds_are_limited_apart(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        values: list[MetadataValue] = [True, 1, 1.0, "1", False, 0]
        items = [recording(f"r{n}", n, metadata={"f": v}) for n, v in enumerate(values)]
        collection.add(items, mode=WriteMode.UPSERT)
        found = collection.search(vector(3), 10, limit=Limit("f", 1))
    assert len(found.hits) == 5  # 1 and 1.0 are one number


@pytest.mark.parametrize("limit", [Limit("f", 0), Limit("", 2)])
def test_a_limit_that_cannot_be_is_refused(tmp_path: Path, limit: Limit) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        with pytest.raises(InvalidArgument) as refused:
            collection.search(vector(3), 10, limit=limit)
    assert refused.value.field == "at_most"
