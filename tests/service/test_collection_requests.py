"""Requests about collections that can not be served as sent, and what the caller is told."""

from typing import Any

import numpy as np
import pytest

from embedsvc.v1 import collection_pb2, embedding_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import (
    BOUND,
    Refusal,
    Stubs,
    adding,
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
from tests.service.test_embedding_requests import BAD_ITEMS, windowing

pytestmark = pytest.mark.usefixtures("still_answers")

Create = collection_pb2.CreateCollectionRequest
Filter = collection_pb2.Filter
Spec = embedding_pb2.OutputSpec


def space_of(stubs: Stubs, name: str) -> types_pb2.Space:
    asked = collection_pb2.GetCollectionRequest(name=name)
    return stubs.collections.GetCollection(asked).collection.space


BAD_NAMES = [
    "",
    "a" * 65,
    "../../etc/passwd",
    "/tmp",
    ".",
    "Upper",
    "with space",
    "-dash",
    "a\x00b",
    "a'; DROP TABLE collection; --",
    "żółć",
    "a\n",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_collection_needs_a_plain_name(stubs: Stubs, name: str) -> None:
    refusal = refused(stubs.collections.CreateCollection, Create(name=name))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.path == "name"
    missing = refused(
        stubs.collections.GetCollection, collection_pb2.GetCollectionRequest(name=name)
    )
    assert (missing.code, missing.resource) == ("NOT_FOUND", "collection")


def segmentation(length: float, hop: float) -> collection_pb2.Segmentation:
    message = collection_pb2.Segmentation()
    message.length.FromNanoseconds(round(length * 1e9))
    message.hop.FromNanoseconds(round(hop * 1e9))
    return message


def foreign(fingerprint: str = "theirs", dim: int = 3) -> types_pb2.Space:
    return types_pb2.Space(fingerprint=fingerprint, dim=dim)


BAD_COLLECTIONS: dict[str, tuple[collection_pb2.CreateCollectionRequest, str]] = {
    "a layer that is not there": (Create(vectors=Spec(layer=99)), "vectors.layer"),
    "frames": (Create(vectors=Spec(pooling=types_pb2.POOLING_NONE)), "vectors.pooling"),
    "a pooling of the future": (Create(vectors=Spec(pooling=9)), "vectors.pooling"),  # type: ignore[arg-type]  # on purpose
    "an unknown projection": (Create(vectors=Spec(projection="x")), "vectors.projection"),
    "windows too long": (Create(windowing=windowing(70)), "windowing.length"),
    "segments too short": (Create(segmentation=segmentation(0.5, 0.5)), "segmentation.length"),
    "hops too short": (Create(segmentation=segmentation(2, 0.1)), "segmentation.hop"),
    "hops off the grid": (Create(segmentation=segmentation(2.02, 1.01)), "segmentation.hop"),
    "segments of part hops": (Create(segmentation=segmentation(5, 2)), "segmentation.length"),
    "no fingerprint": (Create(foreign_space=foreign("")), "foreign_space.fingerprint"),
    "no dimensions": (Create(foreign_space=foreign(dim=0)), "foreign_space.dim"),
}


@pytest.mark.parametrize("case", BAD_COLLECTIONS)
def test_a_collection_that_cannot_be_is_refused(stubs: Stubs, case: str) -> None:
    asked, path = BAD_COLLECTIONS[case]
    asked.name = "never-made"
    refusal = refused(stubs.collections.CreateCollection, asked)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.path == path
    missing = collection_pb2.GetCollectionRequest(name="never-made")
    assert refused(stubs.collections.GetCollection, missing).code == "NOT_FOUND"


def test_a_name_is_taken_once(stubs: Stubs, collection: str) -> None:
    refusal = refused(stubs.collections.CreateCollection, Create(name=collection))
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert refusal.path == "name"


METHODS: dict[str, tuple[str, Any, str]] = {
    "GetCollection": ("name", collection_pb2.GetCollectionRequest(), "name"),
    "DeleteCollection": ("name", collection_pb2.DeleteCollectionRequest(), "name"),
    "AddRecordings": ("collection", adding("", recording("a")), "collection"),
    "GetRecordings": ("collection", collection_pb2.GetRecordingsRequest(ids=["a"]), "collection"),
    "ListRecordings": ("collection", collection_pb2.ListRecordingsRequest(), "collection"),
    "CountRecordings": ("collection", collection_pb2.CountRecordingsRequest(), "collection"),
    "DeleteRecordings": (
        "collection",
        collection_pb2.DeleteRecordingsRequest(ids={"ids": ["a"]}),  # type: ignore[arg-type]  # a message as a dict
        "collection",
    ),
    "Search": ("collection", search_pb2.SearchRequest(recording_id="a"), "collection"),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_collection_that_is_not_there_is_not_found(stubs: Stubs, method: str) -> None:
    field, asked, path = METHODS[method]
    setattr(asked, field, "nowhere")
    service = stubs.search if method == "Search" else stubs.collections
    refusal = refused(getattr(service, method), asked)
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "COLLECTION_NOT_FOUND")
    assert (refusal.resource, refusal.path) == ("collection", path)
    assert "'nowhere'" in refusal.message


def test_a_missing_collection_may_be_deleted_when_that_is_allowed(stubs: Stubs) -> None:
    asked = collection_pb2.DeleteCollectionRequest(name="nowhere", allow_missing=True)
    assert stubs.collections.DeleteCollection(asked) is not None


def test_an_upload_to_nowhere_is_refused_before_its_audio(stubs: Stubs) -> None:
    kind = collection_pb2.UploadRecordingRequest
    config = kind.Config(collection="nowhere", id="a")
    refusal = refused(stubs.collections.UploadRecording, iter([kind(config=config)]))
    assert (refusal.code, refusal.path) == ("NOT_FOUND", "config.collection")


def test_write_modes_of_the_future_are_refused(stubs: Stubs, collection: str) -> None:
    refusal = refused(stubs.collections.AddRecordings, adding(collection, recording("a"), mode=9))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "mode")
    kind = collection_pb2.UploadRecordingRequest
    config = kind.Config(collection=collection, id="a", mode=9)  # type: ignore[arg-type]  # on purpose
    messages = upload(kind, config, s16(speech()))
    assert refused(stubs.collections.UploadRecording, messages).path == "config.mode"


def one_result(stubs: Stubs, collection: str, added: Any, **fields: Any) -> Refusal:
    answer = stubs.collections.AddRecordings(adding(collection, added, **fields))
    return item_refusal(answer.results[0].error)


def test_insert_and_update_keep_to_their_word(stubs: Stubs, collection: str) -> None:
    insert, update = collection_pb2.WRITE_MODE_INSERT, collection_pb2.WRITE_MODE_UPDATE
    missing = one_result(stubs, collection, recording("a"), mode=update)
    assert (missing.code, missing.reason) == ("NOT_FOUND", "RECORDING_NOT_FOUND")
    assert (missing.resource, missing.path) == ("recording", "recordings[0].id")
    stubs.collections.AddRecordings(adding(collection, recording("a"), mode=insert))
    again = one_result(stubs, collection, recording("a"), mode=insert)
    assert (again.code, again.path) == ("ALREADY_EXISTS", "recordings[0].id")


def test_bad_recordings_harm_no_other(stubs: Stubs, collection: str) -> None:
    print_ = space_of(stubs, collection).fingerprint
    dim = space_of(stubs, collection).dim
    nan = np.full((1, dim), np.nan)
    wrong_data = ready("wrong data", np.ones((2, dim)), print_)
    wrong_data.vectors.vectors.data += b"\0"
    wrong_type = ready("wrong type", np.ones((2, dim)), print_)
    wrong_type.vectors.vectors.dtype = 9  # type: ignore[assignment]  # on purpose
    no_spans = ready("no spans", np.ones((2, dim)), print_)
    no_spans.vectors.ClearField("spans")
    backward = ready("backward", np.ones((1, dim)), print_)
    backward.vectors.spans[0].start.seconds = 7
    bad_name = recording("bad name")
    bad_name.metadata["a b"].integer = 1
    no_value = recording("no value")
    no_value.metadata["year"].SetInParent()
    tensor = "vectors.vectors"
    bads: list[tuple[collection_pb2.Recording, str, str]] = [
        *((recording("bad", audio), reason, "audio") for audio, reason in BAD_ITEMS.values()),
        (collection_pb2.Recording(id="nothing"), "FIELD_INVALID", "content"),
        (recording(""), "FIELD_INVALID", "id"),
        (recording("i" * 513), "FIELD_INVALID", "id"),
        (no_value, "FIELD_INVALID", "metadata['year']"),
        (bad_name, "FIELD_INVALID", "metadata"),
        (recording("nan", year=float("nan")), "FIELD_INVALID", "metadata.year"),
        (ready("wrong size", np.ones((1, 7)), print_), "TENSOR_SHAPE", tensor),
        (ready("no vectors", np.ones((0, dim)), print_), "FIELD_INVALID", tensor),
        (ready("zeros", np.zeros((1, dim)), print_), "TENSOR_SHAPE", tensor),
        (ready("NaN", nan, print_), "TENSOR_SHAPE", tensor),
        (wrong_data, "TENSOR_SHAPE", f"{tensor}.data"),
        (wrong_type, "TENSOR_SHAPE", f"{tensor}.dtype"),
        (no_spans, "FIELD_INVALID", "vectors.spans"),
        (backward, "FIELD_INVALID", "vectors.spans[0]"),
        (ready("other", np.ones((1, dim)), "f0"), "SPACE_MISMATCH", "vectors.space_fingerprint"),
    ]
    goods = [recording(f"good {number}", pcm(speech(1, number))) for number in range(3)]
    sent = [goods[0], *(bad for bad, _, _ in bads), *goods[1:]]
    results = stubs.collections.AddRecordings(adding(collection, *sent)).results
    assert [result.id for result in results] == [each.id for each in sent]
    for place, (result, (_, reason, path)) in enumerate(
        zip(results[1 : len(bads) + 1], bads, strict=True), start=1
    ):
        refusal = item_refusal(result.error)
        assert refusal.reason == reason, result
        assert refusal.path.removeprefix(f"recordings[{place}].").startswith(path), refusal
    assert not any(results[place].HasField("error") for place in (0, -1, -2))
    assert_same_vectors_alone(stubs, collection, goods)


def assert_same_vectors_alone(
    stubs: Stubs, collection: str, goods: list[collection_pb2.Recording]
) -> None:
    for good in goods:
        alone = vector(stubs.embedding.Embed(request(good.audio)).embedding)
        asked = collection_pb2.GetRecordingsRequest(
            collection=collection, ids=[good.id], include_vectors=True
        )
        (stored,) = stubs.collections.GetRecordings(asked).recordings
        found = tensors.array(stored.vectors, "vectors", dimensions=2)
        # They are stored in half precision.
        np.testing.assert_allclose(found[0], alone, atol=BOUND + 2**-12)


def test_vectors_of_another_space_are_refused_with_both_fingerprints(
    stubs: Stubs, collection: str
) -> None:
    ours = space_of(stubs, collection).fingerprint
    query = search_pb2.QueryVector(
        space_fingerprint="f00d", vector=tensors.tensor_message(np.ones(9, np.float32))
    )
    asked = search_pb2.SearchRequest(collection=collection, vector=query)
    refusal = refused(stubs.search.Search, asked)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert refusal.facts == {"collection_fingerprint": ours, "given_fingerprint": "f00d"}
    assert refusal.path == "vector.space_fingerprint"
    assert ours in refusal.message
    assert "f00d" in refusal.message


def test_audio_is_refused_by_a_collection_of_foreign_vectors(
    stubs: Stubs, new_collection: NewCollection
) -> None:
    name = new_collection(foreign_space=foreign())
    refusal = refused(
        stubs.search.Search, search_pb2.SearchRequest(collection=name, audio=pcm(speech()))
    )
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert refusal.facts["collection_fingerprint"] == "theirs"
    result = one_result(stubs, name, recording("a"))
    assert (result.reason, result.path) == ("SPACE_MISMATCH", "recordings[0].audio")


def query_of(numbers: Any, **fields: Any) -> search_pb2.SearchRequest:
    tensor = tensors.tensor_message(np.asarray(numbers, np.float32))
    for name, item in fields.items():
        setattr(tensor, name, item)
    found = search_pb2.QueryVector(space_fingerprint="theirs", vector=tensor)
    return search_pb2.SearchRequest(vector=found)


BAD_SEARCHES: dict[str, tuple[search_pb2.SearchRequest, str, str]] = {
    "no query": (search_pb2.SearchRequest(), "FIELD_INVALID", "query"),
    "too many hits": (
        search_pb2.SearchRequest(recording_id="a", top_k=1_001),
        "FIELD_INVALID",
        "top_k",
    ),
    "two rows": (query_of(np.ones((2, 3))), "TENSOR_SHAPE", "vector.vector.shape"),
    "bytes missing": (query_of([1, 2, 3], data=b"12"), "TENSOR_SHAPE", "vector.vector.data"),
    "a dtype of the future": (query_of([1, 2, 3], dtype=9), "TENSOR_SHAPE", "vector.vector.dtype"),
    "another size": (query_of([1, 2]), "TENSOR_SHAPE", "vector.vector"),
    "NaN": (query_of([1, np.nan, 0]), "TENSOR_SHAPE", "vector.vector"),
    "zeros": (query_of([0, 0, 0]), "TENSOR_SHAPE", "vector.vector"),
    "an empty filter": (
        search_pb2.SearchRequest(recording_id="a", filter=Filter()),
        "FIELD_INVALID",
        "filter",
    ),
}


@pytest.mark.parametrize("case", BAD_SEARCHES)
def test_a_bad_search_is_refused(stubs: Stubs, new_collection: NewCollection, case: str) -> None:
    asked, reason, path = BAD_SEARCHES[case]
    asked.collection = new_collection(foreign_space=foreign())
    refusal = refused(stubs.search.Search, asked)
    assert (refusal.code, refusal.reason, refusal.path) == ("INVALID_ARGUMENT", reason, path)


def test_searching_by_a_recording_that_is_not_there_is_not_found(
    stubs: Stubs, collection: str
) -> None:
    asked = search_pb2.SearchRequest(collection=collection, recording_id="nobody")
    refusal = refused(stubs.search.Search, asked)
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "RECORDING_NOT_FOUND")
    assert (refusal.resource, refusal.path) == ("recording", "recording_id")
    assert refusal.message.startswith("`recording_id` must exist")


def deep(depth: int) -> collection_pb2.Filter:
    found = Filter(exists=Filter.Exists(field="a"))
    for _ in range(depth):
        found = Filter(negated=found)
    return found


def in_range(**bounds: Any) -> collection_pb2.Filter:
    found = {name: value(bound) for name, bound in bounds.items()}
    return Filter(range=Filter.Range(field="year", **found))


BAD_FILTERS: dict[str, tuple[collection_pb2.Filter, str]] = {
    "empty": (Filter(), "filter"),
    "too deep": (deep(30), "filter"),
    "too many conditions": (
        Filter(all_of=Filter.List(filters=[deep(0)] * 300)),
        "filter",
    ),
    "no bound": (in_range(), "filter.range"),
    "a bound that is true": (in_range(gt=True), "filter.range.gt"),
    "a bound without a kind": (
        Filter(range=Filter.Range(field="year", lt=collection_pb2.Value())),
        "filter.range.lt",
    ),
    "no field": (Filter(equals=Filter.Equals(value=value(1))), "filter.equals.field"),
    "no value": (Filter(equals=Filter.Equals(field="a")), "filter.equals.value"),
    "an empty condition inside": (
        Filter(any_of=Filter.List(filters=[deep(1), Filter()])),
        "filter.any_of.filters[1]",
    ),
}


@pytest.mark.parametrize("case", BAD_FILTERS)
def test_a_bad_filter_is_refused_with_its_path(stubs: Stubs, collection: str, case: str) -> None:
    bad, path = BAD_FILTERS[case]
    listing = collection_pb2.ListRecordingsRequest(collection=collection, filter=bad)
    counting = collection_pb2.CountRecordingsRequest(collection=collection, filter=bad)
    deleting = collection_pb2.DeleteRecordingsRequest(collection=collection, filter=bad)
    searching = search_pb2.SearchRequest(collection=collection, recording_id="a", filter=bad)
    for call, asked in (
        (stubs.collections.ListRecordings, listing),
        (stubs.collections.CountRecordings, counting),
        (stubs.collections.DeleteRecordings, deleting),
        (stubs.search.Search, searching),
    ):
        refusal = refused(call, asked)
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
        assert refusal.path == path


def test_a_filter_deeper_than_any_message_is_refused(stubs: Stubs, collection: str) -> None:
    listing = collection_pb2.ListRecordingsRequest(collection=collection, filter=deep(90))
    assert refused(stubs.collections.ListRecordings, listing).code == "INVALID_ARGUMENT"


def test_deleting_needs_a_selector(stubs: Stubs, collection: str) -> None:
    asked = collection_pb2.DeleteRecordingsRequest(collection=collection)
    refusal = refused(stubs.collections.DeleteRecordings, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "selector")


@pytest.mark.parametrize("count", [0, 257])
def test_a_write_has_one_to_256_recordings(stubs: Stubs, collection: str, count: int) -> None:
    sent = adding(collection, *[recording("a")] * count)
    refusal = refused(stubs.collections.AddRecordings, sent)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "recordings")
    asked = collection_pb2.GetRecordingsRequest(collection=collection, ids=["a"] * count)
    assert refused(stubs.collections.GetRecordings, asked).path == "ids"


def test_uploads_refuse_what_is_wrong_with_their_config(stubs: Stubs, collection: str) -> None:
    kind = collection_pb2.UploadRecordingRequest
    for config, path in (
        (kind.Config(collection=collection, id=""), "config.id"),
        (kind.Config(collection=collection, id="a", metadata={"b c": value(1)}), "config.metadata"),
        (kind.Config(collection=collection, id="a", channel_policy=9), "config.channel_policy"),  # type: ignore[arg-type]  # on purpose
        (kind.Config(collection=collection, id="a"), "audio"),
    ):
        data = b"nonsense" if path == "audio" else s16(speech())
        if path != "audio":
            config.pcm.CopyFrom(pcm(speech()).pcm.format)
        refusal = refused(stubs.collections.UploadRecording, upload(kind, config, data))
        assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)
