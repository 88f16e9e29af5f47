"""Pairs that say the same, and copies, through the service."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pytest

from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, search_pb2, types_pb2
from tests.service.calls import Stubs, adding, ready, refused
from tests.service.conftest import NewCollection

COUNT, DIM = 30, 16
RANDOM = np.random.default_rng(11)
SAID = RANDOM.standard_normal((COUNT, DIM)).astype(np.float32)


def near(vectors: Floats, distance: float = 0.2) -> Floats:
    noise = distance * RANDOM.standard_normal(vectors.shape)
    return np.asarray(vectors + noise, np.float32)


def fill(stubs: Stubs, name: str, language: str, vectors: Floats) -> None:
    sent = [
        ready(f"{language}{number}", vector[None], "t", language=language)
        for number, vector in enumerate(vectors)
    ]
    stubs.collections.AddRecordings(adding(name, *sent))


@pytest.fixture(scope="module")
def spaces(stubs: Stubs, new_collection: NewCollection) -> tuple[str, str]:
    """Thirty sentences in two languages, each in a collection of its own."""
    names = [
        new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM)) for _ in range(2)
    ]
    fill(stubs, names[0], "deu", SAID)
    fill(stubs, names[1], "fra", near(SAID)[::-1])
    return names[0], names[1]


def side(name: str, language: str = "") -> search_pb2.MinePairsRequest.Side:
    chosen = search_pb2.MinePairsRequest.Side(collection=name)
    if language:
        chosen.filter.equals.field = "language"
        chosen.filter.equals.value.text = language
    return chosen


def mined(stubs: Stubs, **fields: Any) -> list[search_pb2.SegmentPair]:
    replies = list(stubs.search.MinePairs(search_pb2.MinePairsRequest(**fields), timeout=60))
    kinds = [str(reply.WhichOneof("message")) for reply in replies]
    assert kinds == sorted(kinds, reverse=True)  # progress, then pairs
    assert kinds[0] == "progress"
    last = replies[kinds.count("progress") - 1].progress
    assert last.done == last.total
    return [reply.pair for reply in replies if reply.HasField("pair")]


def matched(pairs: list[search_pb2.SegmentPair]) -> float:
    right = [
        int(pair.left.recording_id[3:]) + int(pair.right.recording_id[3:]) == COUNT - 1
        for pair in pairs
    ]
    return sum(right) / len(right)


def test_sentences_of_two_collections_are_paired(stubs: Stubs, spaces: tuple[str, str]) -> None:
    pairs = mined(stubs, left=side(spaces[0]), right=side(spaces[1]))
    assert len(pairs) == COUNT
    assert matched(pairs) == 1
    margins = [pair.margin for pair in pairs]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] > 1
    assert pairs[0].left.metadata["language"].text == "deu"
    assert pairs[0].right.span.end.seconds == 1
    good = [pair for pair in pairs if pair.margin >= margins[9]]
    few = mined(stubs, left=side(spaces[0]), right=side(spaces[1]), min_margin=margins[9])
    assert few == good


def test_parts_of_one_collection_are_paired(stubs: Stubs, new_collection: NewCollection) -> None:
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    fill(stubs, name, "deu", SAID)
    fill(stubs, name, "fra", near(SAID)[::-1])
    pairs = mined(stubs, left=side(name, "deu"), right=side(name, "fra"))
    assert (len(pairs), matched(pairs)) == (COUNT, 1)
    both = mined(stubs, left=side(name, "deu"), right=side(name))
    assert (len(both), matched(both)) == (COUNT, 1)


def test_collections_of_two_spaces_are_refused(
    stubs: Stubs, spaces: tuple[str, str], new_collection: NewCollection
) -> None:
    other = new_collection(foreign_space=types_pb2.Space(fingerprint="u", dim=DIM))
    refusal = refused(
        lambda request, **_: list(stubs.search.MinePairs(request)),
        search_pb2.MinePairsRequest(left=side(spaces[0]), right=side(other)),
    )
    assert (refusal.code, refusal.path) == ("FAILED_PRECONDITION", "right.collection")


@pytest.mark.parametrize("count", [65, 10_000])
def test_too_many_neighbors_are_refused(stubs: Stubs, spaces: tuple[str, str], count: int) -> None:
    request = search_pb2.MinePairsRequest(
        left=side(spaces[0]), right=side(spaces[1]), neighbors=count
    )
    refusal = refused(lambda asked, **_: list(stubs.search.MinePairs(asked)), request)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "neighbors")


def test_a_collection_that_is_not_there_is_refused(stubs: Stubs, spaces: tuple[str, str]) -> None:
    for left, right in (("gone", spaces[0]), (spaces[0], "gone")):
        request = search_pb2.MinePairsRequest(left=side(left), right=side(right))
        refusal = refused(lambda asked, **_: list(stubs.search.MinePairs(asked)), request)
        assert refusal.code == "NOT_FOUND"


def test_empty_collections_have_no_pairs(
    stubs: Stubs, spaces: tuple[str, str], new_collection: NewCollection
) -> None:
    empty = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    assert not mined(stubs, left=side(empty), right=side(spaces[0]))
    assert not mined(stubs, left=side(spaces[0]), right=side(empty))


@pytest.fixture
def copied(stubs: Stubs, new_collection: NewCollection) -> str:
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    fill(stubs, name, "one", SAID)
    fill(stubs, name, "two", near(SAID[:3], 0.05))
    fill(stubs, name, "six", near(SAID[:1], 0.05))
    return name


def groups(stubs: Stubs, **fields: Any) -> Iterator[list[str]]:
    request = search_pb2.FindDuplicatesRequest(**fields)
    for reply in stubs.search.FindDuplicates(request, timeout=60):
        if reply.HasField("group"):
            assert all(pair.cosine > 0.85 for pair in reply.group.pairs)
            yield list(reply.group.recording_ids)


def test_copies_are_grouped(stubs: Stubs, copied: str) -> None:
    found = sorted(groups(stubs, collection=copied))
    assert found == [["one0", "six0", "two0"], ["one1", "two1"], ["one2", "two2"]]
    assert not list(groups(stubs, collection=copied, min_cosine=1.0))
    clause = collection_pb2.Filter.Equals(field="language", value=collection_pb2.Value(text="one"))
    only = collection_pb2.Filter(equals=clause)
    assert not list(groups(stubs, collection=copied, filter=only))


@pytest.mark.parametrize("least", [-0.5, 1.5])
def test_a_cosine_that_cannot_be_is_refused(stubs: Stubs, copied: str, least: float) -> None:
    request = search_pb2.FindDuplicatesRequest(collection=copied, min_cosine=least)
    refusal = refused(lambda asked, **_: list(stubs.search.FindDuplicates(asked)), request)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "min_cosine")


def test_a_caller_that_leaves_ends_the_work(
    stubs: Stubs, spaces: tuple[str, str], still_answers: None
) -> None:
    request = search_pb2.MinePairsRequest(left=side(spaces[0]), right=side(spaces[1]))
    for _ in range(20):
        call = stubs.search.MinePairs(request, timeout=60)
        with suppress(grpc.RpcError):  # the ones before are not gone yet
            next(call)
        call.cancel()
    until(lambda: _end(stubs.search.MinePairs(request, timeout=60)) == "OK")


def test_callers_that_do_not_listen_hold_up_nobody_else(
    stubs: Stubs, spaces: tuple[str, str], still_answers: None
) -> None:
    """Two may mine at once; further ones are told when to come back."""
    request = search_pb2.MinePairsRequest(left=side(spaces[0]), right=side(spaces[1]))
    held = [stubs.search.MinePairs(request, timeout=60) for _ in range(40)]
    ends = [_end(call) for call in held]
    assert set(ends) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert "OK" in ends
    until(lambda: _end(stubs.search.MinePairs(request, timeout=60)) == "OK")


def _end(call: Any) -> str:
    try:
        assert sum(reply.HasField("pair") for reply in call) == COUNT
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code.name
    return "OK"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
