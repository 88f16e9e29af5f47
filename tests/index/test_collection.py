from dataclasses import replace

import numpy as np
import pytest

from embedsvc.errors import (
    AlreadyExists,
    InvalidArgument,
    RecordingNotFound,
    RequestIdReused,
    TensorShape,
)
from embedsvc.filters import Equals, Exists, Not
from embedsvc.index import Catalog, Collection, RequestKey, Tuning, WriteMode
from embedsvc.types import Metadata, Recording, Segment, Span, StoredRecording
from tests.index.builders import DIM, SEGMENTATION, recording, space, stored, vector

UPSERT, INSERT, UPDATE = WriteMode.UPSERT, WriteMode.INSERT, WriteMode.UPDATE


def ids(collection: Collection) -> list[str]:
    return [item.id for item in collection.page(limit=1_000).recordings]


def one(collection: Collection, id: str) -> StoredRecording:
    (found,), missing = collection.get([id])
    assert not missing
    return found


def test_what_is_stored_comes_back(collection: Collection) -> None:
    metadata: Metadata = {"speaker": "Zoë", "year": 1990, "ratio": 0.5, "native": True}
    item = recording("a", 3, segments=2, metadata=metadata)
    added = collection.add([item], mode=UPSERT)
    back = one(collection, "a")
    assert (added.sequence, added.failures, added.replayed) == (1, {}, False)
    assert dict(back.metadata) == metadata
    assert [type(value) for value in back.metadata.values()] == [str, int, float, bool]
    assert (back.length, back.digest, back.sequence) == (item.length, item.digest, 1)
    assert back.spans == tuple(segment.span for segment in item.segments)
    kept = collection.vectors("a")
    assert [segment.span for segment in kept] == list(back.spans)
    for segment, original in zip(kept, item.segments, strict=True):
        assert segment.vector.dtype == np.float32
        assert np.array_equal(segment.vector, stored(original.vector))


def test_an_upsert_replaces_all_of_a_recording(collection: Collection) -> None:
    collection.add([recording("a", 1, 5, metadata={"old": 1}), recording("b")], mode=UPSERT)
    collection.add([recording("a", 2, 1, metadata={"new": 1})], mode=UPSERT)
    assert ids(collection) == ["b", "a"]
    assert collection.count(Exists("old")) == 0
    assert collection.count(Exists("new")) == 1
    assert (collection.info().recordings, collection.info().segments) == (2, 2)
    assert one(collection, "a").digest == "digest-2"


def test_the_later_of_two_of_one_id_wins(collection: Collection) -> None:
    added = collection.add([recording("a", 1, 3), recording("a", 2)], mode=UPSERT)
    assert not added.failures
    assert one(collection, "a").digest == "digest-2"
    assert collection.info().segments == 1
    assert len(collection.search(vector(1), 10).hits) == 1


def test_insert_and_update_say_what_they_met(collection: Collection) -> None:
    collection.add([recording("a", 1)], mode=UPSERT)
    inserted = collection.add([recording("a", 2), recording("b", 2)], mode=INSERT)
    assert isinstance(inserted.failures[0], AlreadyExists)
    updated = collection.add([recording("c", 3), recording("b", 3)], mode=UPDATE)
    assert isinstance(updated.failures[0], RecordingNotFound)
    assert (len(inserted.failures), len(updated.failures)) == (1, 1)
    assert {item.id: item.digest for item in collection.page().recordings} == {
        "a": "digest-1",
        "b": "digest-3",
    }


def test_one_bad_recording_never_harms_the_others(collection: Collection) -> None:
    batch = [
        recording("good-1", 1),
        recording("", 2),
        Recording("flat", (Segment(Span(0, 1), np.zeros(DIM, np.float32)),)),
        Recording("wide", (Segment(Span(0, 1), np.ones(DIM + 1, np.float32)),)),
        recording("odd", 3, metadata={"not a key": 1}),
        recording("good-2", 4),
    ]
    added = collection.add(batch, mode=UPSERT)
    assert {place: type(error) for place, error in added.failures.items()} == {
        1: InvalidArgument,
        2: TensorShape,
        3: TensorShape,
        4: InvalidArgument,
    }
    assert ids(collection) == ["good-1", "good-2"]


def test_a_write_that_changes_nothing_has_no_number(collection: Collection) -> None:
    assert collection.add([recording("", 1)], mode=UPSERT).sequence == 0
    assert collection.add([], mode=UPSERT).sequence == 0
    assert collection.delete(["nobody"]).sequence == 0
    assert collection.add([recording("a")], mode=UPSERT).sequence == 1
    assert collection.delete(["a"]).sequence == 2
    assert collection.search(vector(1), 1).sequence == collection.sequence == 2


@pytest.mark.parametrize(
    "id",
    [
        "../../x",
        "/etc/passwd",
        "'; DROP TABLE recording; --",
        "a\x00b",
        "C:\\x",
        "%s",
        "\U0001f426" * 128,
    ],
)
def test_an_id_is_only_an_id(collection: Collection, id: str) -> None:
    collection.add([recording(id, 1, metadata={"id": id}), recording("other", 2)], mode=UPSERT)
    assert one(collection, id).id == id
    assert collection.count(Equals("id", id)) == 1
    assert collection.search(collection.vectors(id)[0].vector, 1).hits[0].id == id
    assert collection.delete([id]).count == 1
    assert ids(collection) == ["other"]


def test_get_names_what_is_missing(collection: Collection) -> None:
    collection.add([recording("a"), recording("b")], mode=UPSERT)
    found, missing = collection.get(["x", "b", "a", "b", "y"])
    assert [item.id for item in found] == ["b", "a"]
    assert missing == ["x", "y"]
    with pytest.raises(RecordingNotFound):
        collection.vectors("x")


def test_unchanged_knows_the_digest(collection: Collection) -> None:
    collection.add([recording("a", 7), Recording("b", recording("b").segments)], mode=UPSERT)
    assert collection.unchanged("a", "digest-7")
    assert not collection.unchanged("a", "digest-8")
    assert not collection.unchanged("b", "")
    assert not collection.unchanged("x", "digest-7")


def test_pages_meet_each_recording_once_while_others_come_and_go(collection: Collection) -> None:
    collection.add([recording(f"r{n}", n, metadata={"n": n}) for n in range(25)], mode=UPSERT)
    seen, after = [], 0
    while True:
        page = collection.page(Not(Equals("n", 3)), after=after, limit=7)
        seen += [item.id for item in page.recordings]
        collection.delete([seen[0]])
        collection.add([recording("new", 99, metadata={"n": 3})], mode=UPSERT)
        if page.cursor is None:
            break
        after = page.cursor
    assert seen == [f"r{n}" for n in range(25) if n != 3]


def test_deletion_by_filter_can_be_tried_first(collection: Collection) -> None:
    collection.add([recording(f"r{n}", n, 2, metadata={"n": n % 3}) for n in range(9)], mode=UPSERT)
    assert collection.delete_where(Equals("n", 1), dry_run=True).count == 3
    assert collection.count() == 9
    assert collection.delete_where(Equals("n", 1)).count == 3
    assert collection.count(Equals("n", 1)) == 0
    assert (collection.info().recordings, collection.info().segments) == (6, 12)
    assert collection.delete_where(Equals("n", 1)).count == 0


def test_deletion_counts_each_recording_once(collection: Collection) -> None:
    collection.add([recording("a"), recording("b")], mode=UPSERT)
    assert collection.delete(["a", "a", "x"]).count == 1
    assert ids(collection) == ["b"]


def test_more_recordings_than_one_statement_takes_are_deleted(collection: Collection) -> None:
    many = [recording(f"r{n}", n) for n in range(2_100)]
    collection.add(many, mode=UPSERT)
    assert collection.delete([item.id for item in many[:-1]]).count == 2_099
    assert ids(collection) == ["r2099"]
    assert len(collection.search(vector(1), 5).hits) == 1


def test_a_repeated_write_is_answered_and_not_done(collection: Collection) -> None:
    key = RequestKey("call-1", "digest", note="kept")
    first = collection.add([recording("a"), recording("", 2)], mode=INSERT, key=key)
    collection.delete(["a"])
    again = collection.add([recording("a"), recording("", 2)], mode=INSERT, key=key)
    assert (again.sequence, again.replayed, again.note) == (first.sequence, True, "kept")
    assert ids(collection) == []
    (error,) = again.failures.values()
    (original,) = first.failures.values()
    assert type(error) is type(original)
    assert (error.message, error.field, error.facts) == (
        original.message,
        original.field,
        original.facts,
    )
    assert collection.recall(key) is not None
    assert collection.recall(RequestKey("call-2", "digest")) is None
    assert collection.recall(RequestKey()) is None


def test_a_repeated_deletion_is_answered_and_not_done(collection: Collection) -> None:
    collection.add([recording("a")], mode=UPSERT)
    first = collection.delete(["a"], "call-1")
    collection.add([recording("a")], mode=UPSERT)
    again = collection.delete(["a"], "call-1")
    assert (again.count, again.sequence, again.replayed) == (1, first.sequence, True)
    assert ids(collection) == ["a"]
    assert collection.delete_where(Exists("x"), request_id="call-2").count == 0
    assert collection.delete_where(Exists("x"), request_id="call-2").replayed


def test_a_request_id_belongs_to_one_request(collection: Collection) -> None:
    collection.add([recording("a")], mode=UPSERT, key=RequestKey("call-1", "one"))
    for reuse in (
        lambda: collection.add([recording("b")], mode=UPSERT, key=RequestKey("call-1", "two")),
        lambda: collection.recall(RequestKey("call-1", "two")),
        lambda: collection.delete(["a"], "call-1"),
        lambda: collection.delete_where(Exists("x"), request_id="call-1"),
    ):
        with pytest.raises(RequestIdReused) as caught:
            reuse()
        assert caught.value.field == "request_id"
    assert ids(collection) == ["a"]


def test_a_request_id_is_short_text(collection: Collection) -> None:
    for call in (
        lambda: collection.add([], mode=UPSERT, key=RequestKey("x" * 129, "one")),
        lambda: collection.delete([], "x" * 129),
        lambda: collection.recall(RequestKey("\ud800", "one")),
    ):
        with pytest.raises(InvalidArgument, match="request_id"):
            call()


def test_a_request_id_is_forgotten_after_a_day(catalog: Catalog) -> None:
    now = [1_000_000.0]
    tuning = Tuning(ballast_bytes=0, clock=lambda: now[0])
    catalog._around = replace(catalog._around, tuning=tuning)
    collection = catalog.create("clocked", space(), SEGMENTATION)
    collection.add([recording("a")], mode=UPSERT, key=RequestKey("call", "one"))
    now[0] += 24 * 3600 - 1
    assert collection.recall(RequestKey("call", "one")) is not None
    now[0] += 2
    assert collection.recall(RequestKey("call", "one")) is None
    assert not collection.add([recording("b")], mode=UPSERT, key=RequestKey("call", "two")).replayed


def test_a_request_outlives_the_process(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("data")
    with Catalog(directory) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        collection.add([recording("a")], mode=UPSERT, key=RequestKey("call", "one"))
    with Catalog(directory) as catalog:
        collection = catalog.get("x")
        again = collection.add([recording("a")], mode=UPSERT, key=RequestKey("call", "one"))
        assert again.replayed
