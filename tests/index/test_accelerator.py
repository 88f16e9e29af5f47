"""A base with an accelerator, small: it proposes, and everything else stays as it was."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.filters import And, Equals, Filter, Not, Or, Range, matches
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from embedsvc.index.accelerator import RECIPE
from embedsvc.types import Floats, Metadata, Recording, Segment, Span
from tests.index.builders import SEGMENTATION, Oracle, space, stored

DIM = 16
COUNT = 3_000
QUICK = Tuning(
    accelerate_from=500, columns_from=100, gather_limit=4, ballast_bytes=0, tail_limit=10**6
)
"""An accelerator and columns for what a test can hold, and no work in the background."""


def near(seed: int, side: float) -> Floats:
    """A vector on one side of the space: `side` is 1 or -1."""
    made = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    made[0] = 3 * side
    return made


def labels(n: int) -> Metadata:
    return {"n": n, "far": n % 4 == 0, "language": f"l{n % 7}", "share": n / COUNT}


def item(n: int, first: int = 0) -> Recording:
    side = -1 if n % 4 == 0 else 1
    vectors = [near(first + 10 * n + place, side) for place in range(1 + n % 2)]
    segments = tuple(Segment(Span(place, place + 1), each) for place, each in enumerate(vectors))
    return Recording(f"r{n}", segments, labels(n))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, Oracle]]:
    """Accelerated, then partly replaced, deleted and added to, compacted or still in the tail."""
    oracle = Oracle()
    with Catalog(tmp_path_factory.mktemp("fast"), QUICK) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)

        def put(numbers: range, first: int = 0) -> None:
            made = [item(n, first) for n in numbers]
            collection.add(made, mode=WriteMode.UPSERT)
            for each in made:
                oracle.put(each)

        def drop(numbers: range) -> None:
            collection.delete([f"r{n}" for n in numbers])
            for n in numbers:
                del oracle.recordings[f"r{n}"]

        put(range(COUNT - 300))
        collection.compact()
        collection.accelerate()
        drop(range(5, 100, 10))
        put(range(200, 230), 10**6)
        put(range(COUNT - 300, COUNT - 100))
        collection.compact()
        put(range(COUNT - 100, COUNT))
        drop(range(COUNT - 20, COUNT, 3))
        yield collection, oracle


def allowed(oracle: Oracle, condition: Filter | None, exclude: str | None, *, group: bool) -> int:
    recordings = [
        each
        for each in oracle.recordings.values()
        if each.id != exclude and (condition is None or matches(condition, each.metadata))
    ]
    return len(recordings) if group else sum(len(each.segments) for each in recordings)


numbers = st.integers(0, COUNT)
leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda low, width: Range("n", gte=low, lt=low + width), numbers, numbers),
    st.builds(lambda share: Range("share", lt=share), st.floats(0, 1)),
    st.builds(partial(Equals, "far"), st.booleans()),
    st.builds(lambda n: Equals("language", f"l{n}"), st.integers(0, 7)),
)
filters = st.one_of(
    st.none(),
    leaves,
    st.builds(Not, leaves),
    st.builds(lambda one, other: And((one, other)), leaves, leaves),
    st.builds(lambda one, other: Or((one, other)), leaves, leaves),
)


@settings(max_examples=80, deadline=None)
@given(
    condition=filters,
    k=st.sampled_from([1, 3, 10, 60, 700]),
    side=st.sampled_from([1.0, -1.0, 40.0, -40.0]),
    seed=st.integers(0, 50),
    group=st.booleans(),
    exclude=st.none() | st.integers(0, COUNT).map("r{}".format),
)
def test_there_are_never_fewer_hits_than_asked_for_or_allowed(
    filled: tuple[Collection, Oracle],
    condition: Filter | None,
    k: int,
    side: float,
    seed: int,
    group: bool,
    exclude: str | None,
) -> None:
    collection, oracle = filled
    query = near(seed, side)
    found = collection.search(query, k, condition, exclude_id=exclude, group=group)
    assert len(found.hits) == min(k, allowed(oracle, condition, exclude, group=group))
    assert [hit.score for hit in found.hits] == sorted([hit.score for hit in found.hits])[::-1]
    unit = query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))
    for hit in found.hits:
        assert hit.id != exclude
        held = oracle.recordings[hit.id]
        assert condition is None or matches(condition, held.metadata)
        vector = next(each.vector for each in held.segments if each.span == hit.span)
        assert hit.score == pytest.approx(float(stored(vector) @ unit), abs=1e-6)
    assert len({(hit.id, None if group else hit.span) for hit in found.hits}) == len(found.hits)


def share_found(collection: Collection, oracle: Oracle, condition: Filter | None) -> float:
    shares = []
    for seed in range(60):
        query = near(10**7 + seed, 1)
        expected = {(id, span) for id, span, _ in oracle.search(query, 10, condition)}
        found = {(hit.id, hit.span) for hit in collection.search(query, 10, condition).hits}
        shares.append(len(found & expected) / len(expected))
    return float(np.mean(shares))


def test_what_is_proposed_reaches_the_target_and_says_that_it_is_not_exact(
    filled: tuple[Collection, Oracle],
) -> None:
    collection, oracle = filled
    info = collection.info().index
    assert info is not None
    assert (info.recipe, info.target) == (RECIPE, 0.95)
    assert info.recall >= info.target
    assert info.measured_on >= 200
    found = collection.search(near(1, 1), 10)
    assert not found.exact
    assert found.scanned < 1_500
    for condition in (None, Not(Equals("language", "l1")), Range("n", lt=COUNT // 2)):
        assert share_found(collection, oracle, condition) > 0.93


@pytest.mark.parametrize(
    "condition", [Equals("far", value=True), Range("n", gte=COUNT - 250), Equals("n", 7)]
)
def test_what_lies_where_the_graph_does_not_lead_is_found_exactly(
    filled: tuple[Collection, Oracle], condition: Filter
) -> None:
    collection, oracle = filled
    query = near(3, 40)
    found = collection.search(query, 10, condition)
    expected = oracle.search(query, 10, condition)
    assert found.exact
    assert [(hit.id, hit.span) for hit in found.hits] == [(id, span) for id, span, _ in expected]


def test_a_query_for_all_there_is_gets_all_there_is(filled: tuple[Collection, Oracle]) -> None:
    collection, _ = filled
    found = collection.search(near(1, 1), 10_000)
    assert found.exact
    assert len(found.hits) == collection.info().segments
