"""Collections from end to end: what is written is there, what is deleted is gone."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.v1 import collection_pb2, embedding_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import (
    Stubs,
    adding,
    file_of,
    item_refusal,
    pcm,
    ready,
    recording,
    refused,
    request,
    s16,
    speech,
    upload,
    value,
    vector,
)
from tests.service.conftest import NewCollection

Filter = collection_pb2.Filter
Listing = collection_pb2.ListRecordingsRequest


def ids_of(stubs: Stubs, collection: str, **fields: Any) -> list[str]:
    """Ids of all recordings of a listing, page by page."""
    asked, found = Listing(collection=collection, **fields), []
    while True:
        page = stubs.collections.ListRecordings(asked)
        found += [stored.id for stored in page.recordings]
        if not page.next_page_token:
            return found
        asked.page_token = page.next_page_token


def count(stubs: Stubs, collection: str, **fields: Any) -> int:
    asked = collection_pb2.CountRecordingsRequest(collection=collection, **fields)
    return stubs.collections.CountRecordings(asked).count


def one(stubs: Stubs, collection: str, id: str, *, vectors: bool = False) -> Any:
    asked = collection_pb2.GetRecordingsRequest(
        collection=collection, ids=[id], include_vectors=vectors
    )
    (stored,) = stubs.collections.GetRecordings(asked).recordings
    return stored


def delete(stubs: Stubs, collection: str, *ids: str, **fields: Any) -> Any:
    chosen = collection_pb2.DeleteRecordingsRequest.Ids(ids=ids)
    asked = collection_pb2.DeleteRecordingsRequest(collection=collection, ids=chosen, **fields)
    return stubs.collections.DeleteRecordings(asked)


def has(field: str, wanted: Any) -> collection_pb2.Filter:
    return Filter(equals=Filter.Equals(field=field, value=value(wanted)))


def test_a_recording_is_stored_as_it_was_sent(stubs: Stubs, collection: str) -> None:
    labels: dict[str, Any] = {"text": "zażółć", "year": 1999, "rate": 0.5, "kept": True}
    sent = adding(collection, recording("talk", pcm(speech(7.5)), **labels))
    answer = stubs.collections.AddRecordings(sent)
    assert answer.results[0].segment_count == 2
    assert answer.sequence == 1
    assert (answer.usage.audio_seconds, answer.usage.frames) == (7.5, 374)
    stored = one(stubs, collection, "talk", vectors=True)
    assert dict(stored.metadata) == {name: value(item) for name, item in labels.items()}
    assert stored.length.ToMilliseconds() == 7_500
    embedded = stubs.embedding.Embed(request(pcm(speech(7.5)))).embedding
    assert stored.digest == embedded.digest
    found = [(s.start.ToMilliseconds(), s.end.ToMilliseconds()) for s in stored.spans]
    assert found == [(0, 6_000), (3_000, 7_500)]
    assert list(stored.vectors.shape) == [2, len(vector(embedded))]
    assert abs(stored.create_time.ToSeconds() - time.time()) < 60


def test_a_collection_counts_what_it_holds(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, *map(recording, "abc")))
    delete(stubs, collection, "b")
    asked = collection_pb2.GetCollectionRequest(name=collection)
    info = stubs.collections.GetCollection(asked).collection
    assert (info.recording_count, info.segment_count, info.sequence) == (2, 2, 2)


def test_collections_are_listed_page_by_page(stubs: Stubs, new_collection: NewCollection) -> None:
    made = {new_collection() for _ in range(3)}
    asked, found = collection_pb2.ListCollectionsRequest(page_size=2), []
    while True:
        page = stubs.collections.ListCollections(asked)
        assert len(page.collections) <= 2
        found += [each.name for each in page.collections]
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    assert made <= set(found)
    assert found == sorted(set(found))


def test_a_deleted_collection_is_gone_and_its_name_free(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, recording("a")))
    stubs.collections.DeleteCollection(collection_pb2.DeleteCollectionRequest(name=collection))
    missing = refused(stubs.collections.ListRecordings, Listing(collection=collection))
    assert missing.reason == "COLLECTION_NOT_FOUND"
    stubs.collections.CreateCollection(collection_pb2.CreateCollectionRequest(name=collection))
    assert ids_of(stubs, collection) == []


def test_250_recordings_are_listed_once_each_in_their_order(
    stubs: Stubs, new_collection: NewCollection
) -> None:
    space = types_pb2.Space(fingerprint="theirs", dim=4)
    name = new_collection(foreign_space=space)
    numbers = np.random.default_rng(0).standard_normal((250, 1, 4))
    for start in (0, 200):
        rows = enumerate(numbers[start : start + 200], start)
        sent = [ready(f"r{n}", row, "theirs", even=n % 2 == 0) for n, row in rows]
        stubs.collections.AddRecordings(adding(name, *sent))
    everything = [f"r{number}" for number in range(250)]
    for size in (0, 7, 250, 5_000):
        assert ids_of(stubs, name, page_size=size) == everything
    assert ids_of(stubs, name, filter=has("even", True), page_size=60) == everything[::2]
    assert count(stubs, name, filter=has("even", False)) == 125


def test_a_listing_goes_on_while_others_write(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, *map(recording, "abcdef")))
    asked = Listing(collection=collection, page_size=2)
    page = stubs.collections.ListRecordings(asked)
    delete(stubs, collection, "b", "c")
    stubs.collections.AddRecordings(adding(collection, recording("g")))
    asked.page_token = page.next_page_token
    rest = ids_of(stubs, collection, page_size=2, page_token=page.next_page_token)
    assert rest == ["d", "e", "f", "g"]


def test_what_is_deleted_never_comes_back(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, *map(recording, "abcd")))
    assert delete(stubs, collection, "a", "nobody", dry_run=True).deleted == 1
    assert ids_of(stubs, collection) == list("abcd")
    assert delete(stubs, collection, "a", "a", "nobody").deleted == 1
    assert delete(stubs, collection, "a").deleted == 0
    query = search_pb2.SearchRequest(collection=collection, audio=recording("a").audio)
    assert {hit.recording_id for hit in stubs.search.Search(query).hits} == set("bcd")
    asked = collection_pb2.GetRecordingsRequest(collection=collection, ids=["d", "a", "b"])
    answer = stubs.collections.GetRecordings(asked)
    assert [stored.id for stored in answer.recordings] == ["d", "b"]
    assert list(answer.missing_ids) == ["a"]


def test_recordings_are_deleted_by_filter(stubs: Stubs, collection: str) -> None:
    sent = [recording(name, even=name in "bd") for name in "abcd"]
    stubs.collections.AddRecordings(adding(collection, *sent))
    asked = collection_pb2.DeleteRecordingsRequest(
        collection=collection, filter=has("even", True), dry_run=True
    )
    assert stubs.collections.DeleteRecordings(asked).deleted == 2
    asked.dry_run = False
    assert stubs.collections.DeleteRecordings(asked).deleted == 2
    assert ids_of(stubs, collection) == ["a", "c"]


def test_an_upload_stores_what_one_message_stores(stubs: Stubs, collection: str) -> None:
    talk = np.concatenate([speech(9, seed) for seed in range(3)])
    stubs.collections.AddRecordings(adding(collection, recording("message", pcm(talk), a=1)))
    kind = collection_pb2.UploadRecordingRequest
    config = kind.Config(collection=collection, id="upload", metadata={"a": value(1)})
    data = file_of(np.frombuffer(s16(talk), "<i2"), "FLAC")
    answer = stubs.collections.UploadRecording(upload(kind, config, data, 9_999))
    assert answer.usage.audio_seconds == 27
    ours, theirs = (one(stubs, collection, i, vectors=True) for i in ("upload", "message"))
    assert answer.result.segment_count == len(theirs.spans)
    assert (ours.digest, ours.metadata, ours.spans) == (
        theirs.digest,
        theirs.metadata,
        theirs.spans,
    )
    first, second = (tensors.array(m.vectors, "v", dimensions=2) for m in (ours, theirs))
    np.testing.assert_allclose(first, second, atol=2**-10)


def test_unchanged_recordings_are_left_alone_when_asked(stubs: Stubs, collection: str) -> None:
    sent = adding(collection, recording("a", year=1), recording("b"), skip_unchanged=True)
    first = stubs.collections.AddRecordings(sent)
    assert [result.unchanged for result in first.results] == [False, False]
    sent.recordings[0].metadata["year"].integer = 2
    second = stubs.collections.AddRecordings(sent)
    assert [result.unchanged for result in second.results] == [False, True]
    assert ids_of(stubs, collection) == ["b", "a"]
    third = stubs.collections.AddRecordings(sent)
    assert third.sequence == second.sequence


def test_the_same_request_id_answers_the_same_and_writes_nothing(
    stubs: Stubs, collection: str
) -> None:
    sent = adding(
        collection, recording("a", pcm(speech(30))), recording(""), request_id=str(uuid.uuid4())
    )
    first = stubs.collections.AddRecordings(sent)
    delete(stubs, collection, "a")
    again = stubs.collections.AddRecordings(sent)
    assert again.results == first.results
    assert again.sequence == first.sequence
    assert item_refusal(again.results[1].error).path == "recordings[1].id"
    assert ids_of(stubs, collection) == []
    assert again.timing.compute.ToNanoseconds() == 0
    assert again.timing.total.ToNanoseconds() < first.timing.total.ToNanoseconds() / 2


def test_a_request_id_is_of_one_write(stubs: Stubs, collection: str) -> None:
    sent = adding(collection, recording("a"), request_id="once")
    stubs.collections.AddRecordings(sent)
    sent.recordings[0].id = "b"
    refusal = refused(stubs.collections.AddRecordings, sent)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert refusal.path == "request_id"
    chosen = collection_pb2.DeleteRecordingsRequest.Ids(ids=["a"])
    asked = collection_pb2.DeleteRecordingsRequest(
        collection=collection, ids=chosen, request_id="once"
    )
    refusal = refused(stubs.collections.DeleteRecordings, asked)
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert ids_of(stubs, collection) == ["a"]


def test_deletes_and_uploads_may_be_repeated_too(stubs: Stubs, collection: str) -> None:
    kind = collection_pb2.UploadRecordingRequest
    config = kind.Config(
        collection=collection, id="a", pcm=pcm(speech()).pcm.format, request_id="up"
    )
    answers = [
        stubs.collections.UploadRecording(upload(kind, config, s16(speech()), chunk))
        for chunk in (999, 5_000)
    ]
    assert answers[0].sequence == answers[1].sequence == 1
    assert answers[0].result == answers[1].result
    other = upload(kind, config, s16(speech(seed=1)))
    assert refused(stubs.collections.UploadRecording, other).path == "config.request_id"
    assert delete(stubs, collection, "a", request_id="down").deleted == 1
    stubs.collections.AddRecordings(adding(collection, recording("a")))
    assert delete(stubs, collection, "a", request_id="down").deleted == 1
    assert ids_of(stubs, collection) == ["a"]


def test_a_space_of_the_callers_choice_is_kept(stubs: Stubs, new_collection: NewCollection) -> None:
    spec = embedding_pb2.OutputSpec(layer=2, pooling=types_pb2.POOLING_MAX, projection="")
    name = new_collection(vectors=spec)
    stubs.collections.AddRecordings(adding(name, recording("a", pcm(speech(2)))))
    (stored,) = tensors.array(one(stubs, name, "a", vectors=True).vectors, "v", dimensions=2)
    alone = vector(stubs.embedding.Embed(request(pcm(speech(2)), spec)).embedding)
    np.testing.assert_allclose(stored, alone, atol=2**-10)


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=15, deadline=None)
@given(ids=st.lists(IDS, min_size=1, max_size=5, unique=True))
def test_ids_are_any_text(stubs: Stubs, new_collection: NewCollection, ids: list[str]) -> None:
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=2))
    vectors = np.random.default_rng(1).standard_normal((len(ids), 1, 2))
    sent = [ready(id, row, "t", note=id) for id, row in zip(ids, vectors, strict=True)]
    assert not stubs.collections.AddRecordings(adding(name, *sent)).results[0].HasField("error")
    assert ids_of(stubs, name, page_size=2) == ids
    assert ids_of(stubs, name, filter=has("note", ids[0])) == ids[:1]
    query = search_pb2.SearchRequest(collection=name, recording_id=ids[0])
    assert {hit.recording_id for hit in stubs.search.Search(query).hits} == set(ids[1:])
    assert delete(stubs, name, *ids).deleted == len(ids)


def test_adds_and_searches_of_many_threads_agree(stubs: Stubs, collection: str) -> None:
    def work(thread: int) -> None:
        for turn in range(4):
            mine = recording(f"{thread}-{turn}", pcm(speech(0.4, 10 * thread + turn)), by=thread)
            stubs.collections.AddRecordings(adding(collection, mine))
            query = search_pb2.SearchRequest(
                collection=collection, audio=mine.audio, filter=has("by", thread), top_k=1
            )
            # What was answered before is found, and it is nearest to itself.
            hit = stubs.search.Search(query).hits[0]
            assert hit.recording_id == mine.id
            assert hit.score > 0.999
            assert one(stubs, collection, mine.id).metadata["by"].integer == thread
            if turn == 2:
                assert delete(stubs, collection, f"{thread}-0").deleted == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    left = {f"{thread}-{turn}" for thread in range(8) for turn in range(1, 4)}
    assert set(ids_of(stubs, collection)) == left
    assert pytest.approx(len(left)) == count(stubs, collection)
