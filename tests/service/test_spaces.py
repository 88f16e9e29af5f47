"""Collections that are searched by several spaces, through the service."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, embedding_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import (
    BOUND,
    Refusal,
    Stubs,
    adding,
    arrays,
    file_of,
    item_refusal,
    pcm,
    ready,
    recording,
    refused,
    request,
    speech,
    upload,
)
from tests.service.conftest import NewCollection

Create = collection_pb2.CreateCollectionRequest
Spec = embedding_pb2.OutputSpec
NAMES = ("meaning", "sound", "who")
SPECS = [
    Spec(name=name, profile=profile)
    for name, profile in zip(NAMES, ("semantic", "phonetic", "speaker"), strict=True)
]


@pytest.fixture(scope="module")
def filled(stubs: Stubs, new_collection: NewCollection) -> str:
    """Thirty-six recordings of a second and more, with vectors of three spaces."""
    name = new_collection(spaces=SPECS, moments=collection_pb2.MomentCodes())
    for first in (0, 12, 24):
        sent = [
            recording(f"r{n}", pcm(speech(1 + 0.1 * (n % 5), n)), n=n)
            for n in range(first, first + 12)
        ]
        added = stubs.collections.AddRecordings(adding(name, *sent))
        assert all(result.segment_count == 1 for result in added.results)
    return name


def told(stubs: Stubs, name: str) -> collection_pb2.Collection:
    return stubs.collections.GetCollection(
        collection_pb2.GetCollectionRequest(name=name)
    ).collection


def vectors(stubs: Stubs, name: str, id: str, space: str = "") -> Floats:
    asked = collection_pb2.GetRecordingsRequest(
        collection=name, ids=[id], include_vectors=True, space=space
    )
    (found,) = stubs.collections.GetRecordings(asked).recordings
    return tensors.array(found.vectors, "vectors", dimensions=2)


def found(stubs: Stubs, name: str, **query: Any) -> list[str]:
    asked = search_pb2.SearchRequest(collection=name, top_k=5, **query)
    return [hit.recording_id for hit in stubs.search.Search(asked, timeout=60).hits]


def test_a_collection_tells_of_every_space(stubs: Stubs, filled: str) -> None:
    collection = told(stubs, filled)
    assert tuple(each.name for each in collection.spaces) == NAMES
    assert collection.space == collection.spaces[0].space
    assert collection.index == collection.spaces[0].index
    assert len({each.space.fingerprint for each in collection.spaces}) == 3
    assert all(each.index.recipe == "flat-fp16" for each in collection.spaces)
    assert not any(each.HasField("transform") for each in collection.spaces)


def test_a_collection_made_without_names_has_one(stubs: Stubs, collection: str) -> None:
    (only,) = told(stubs, collection).spaces
    assert (only.name, only.space) == ("", told(stubs, collection).space)


def test_all_vectors_are_those_of_one_pass_over_the_audio(stubs: Stubs, filled: str) -> None:
    sound = pcm(speech(1.3, 3))
    embedded = stubs.embedding.Embed(request(sound, *SPECS)).embedding
    for spec, expected in zip(SPECS, arrays(embedded), strict=True):
        (stored,) = vectors(stubs, filled, "r3", spec.name)
        np.testing.assert_allclose(stored, expected / np.linalg.norm(expected), atol=BOUND + 2**-11)
    np.testing.assert_array_equal(
        vectors(stubs, filled, "r3"), vectors(stubs, filled, "r3", "meaning")
    )


def test_an_upload_has_them_too(stubs: Stubs, new_collection: NewCollection) -> None:
    name = new_collection(spaces=SPECS)
    config = collection_pb2.UploadRecordingRequest.Config(collection=name, id="long")
    sound = file_of(speech(30, 1))
    messages = upload(collection_pb2.UploadRecordingRequest, config, sound)
    segments = stubs.collections.UploadRecording(messages, timeout=120).result.segment_count
    assert segments > 5
    assert {len(vectors(stubs, name, "long", space)) for space in NAMES} == {segments}


@pytest.mark.parametrize("space", ["", *NAMES])
def test_each_query_is_answered_in_the_space_it_names(
    stubs: Stubs, filled: str, space: str
) -> None:
    stored = np.concatenate([vectors(stubs, filled, f"r{n}", space) for n in range(36)])
    ranked = [f"r{n}" for n in np.argsort(-(stored @ stored[7]))[:6]]
    fingerprints = {each.name: each.space.fingerprint for each in told(stubs, filled).spaces}
    vector = search_pb2.QueryVector(
        space_fingerprint=fingerprints[space or "meaning"],
        vector=tensors.tensor_message(stored[7]),
    )
    assert found(stubs, filled, vector=vector, space=space) == ranked[:5]
    assert found(stubs, filled, audio=pcm(speech(1.2, 7)), space=space) == ranked[:5]
    assert found(stubs, filled, recording_id="r7", space=space) == ranked[1:]


def test_a_vector_of_another_space_is_refused(stubs: Stubs, filled: str) -> None:
    other = told(stubs, filled).spaces[1].space.fingerprint
    vector = search_pb2.QueryVector(
        space_fingerprint=other, vector=tensors.tensor_message(vectors(stubs, filled, "r1")[0])
    )
    asked = search_pb2.SearchRequest(collection=filled, vector=vector)
    refusal = refused(stubs.search.Search, asked)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")


def test_moments_are_looked_for_near_in_the_space_that_is_named(stubs: Stubs, filled: str) -> None:
    for space in NAMES:
        asked = search_pb2.SearchRequest(
            collection=filled,
            audio=pcm(speech(1.2, 7)),
            space=space,
            moments=search_pb2.MomentSearch(candidates=3),
            top_k=3,
        )
        hits = stubs.search.Search(asked, timeout=60).hits
        assert hits[0].recording_id == "r7"
        near = found(stubs, filled, audio=pcm(speech(1.2, 7)), space=space)[:3]
        assert {hit.recording_id for hit in hits} <= set(near)


ASKING_ELSEWHERE: dict[str, tuple[Callable[[Stubs], Any], Any, str]] = {
    "Search": (
        lambda stubs: stubs.search.Search,
        search_pb2.SearchRequest(recording_id="r1", space="smell"),
        "space",
    ),
    "FindDuplicates": (
        lambda stubs: stubs.search.FindDuplicates,
        search_pb2.FindDuplicatesRequest(space="smell"),
        "space",
    ),
    "FitTransform": (
        lambda stubs: stubs.collections.FitTransform,
        collection_pb2.FitTransformRequest(space="smell"),
        "space",
    ),
    "RemoveTransform": (
        lambda stubs: stubs.collections.RemoveTransform,
        collection_pb2.RemoveTransformRequest(space="smell"),
        "space",
    ),
    "GetRecordings": (
        lambda stubs: stubs.collections.GetRecordings,
        collection_pb2.GetRecordingsRequest(ids=["r1"], include_vectors=True, space="smell"),
        "space",
    ),
}


@pytest.mark.parametrize("method", ASKING_ELSEWHERE)
def test_an_unknown_space_is_told_with_those_there_are(
    stubs: Stubs, filled: str, method: str
) -> None:
    call, asked, path = ASKING_ELSEWHERE[method]
    asked.collection = filled
    refusal = refused(call(stubs), asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)
    assert "(meaning, sound, who), but is 'smell'" in refusal.message


def test_an_unknown_space_of_a_side_is_told_with_its_side(stubs: Stubs, filled: str) -> None:
    left = search_pb2.MinePairsRequest.Side(collection=filled)
    right = search_pb2.MinePairsRequest.Side(collection=filled, space="smell")
    refusal = refused(stubs.search.MinePairs, search_pb2.MinePairsRequest(left=left, right=right))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "right.space")


def test_pairs_and_copies_are_those_of_the_space(stubs: Stubs, filled: str) -> None:
    def mined(space: str) -> list[float]:
        chosen = [collection_pb2.Filter(range=collection_pb2.Filter.Range(field="n")) for _ in "ab"]
        chosen[0].range.lt.integer, chosen[1].range.gte.integer = 18, 18
        left, right = (
            search_pb2.MinePairsRequest.Side(collection=filled, filter=each, space=space)
            for each in chosen
        )
        asked = search_pb2.MinePairsRequest(left=left, right=right)
        replies = stubs.search.MinePairs(asked, timeout=60)
        return [each.pair.cosine for each in replies if each.HasField("pair")]

    assert mined("") == mined("meaning") != mined("who")
    asked = search_pb2.FindDuplicatesRequest(collection=filled, space="who", min_cosine=0.01)
    stored = np.concatenate([vectors(stubs, filled, f"r{n}", "who") for n in range(36)])
    (group, *_) = (
        each.group for each in stubs.search.FindDuplicates(asked) if each.HasField("group")
    )
    best = max(pair.cosine for pair in group.pairs)
    cosines = np.triu(stored @ stored.T, 1)
    assert abs(best - cosines.max()) < 2e-3


def test_spaces_of_two_kinds_make_no_pairs(stubs: Stubs, filled: str) -> None:
    left, right = (
        search_pb2.MinePairsRequest.Side(collection=filled, space=space) for space in NAMES[:2]
    )
    refusal = refused(stubs.search.MinePairs, search_pb2.MinePairsRequest(left=left, right=right))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")


def test_one_space_is_fitted_and_the_others_are_as_they_were(stubs: Stubs, filled: str) -> None:
    before = {space: found(stubs, filled, recording_id="r7", space=space) for space in NAMES}
    asked = collection_pb2.FitTransformRequest(collection=filled, space="sound")
    asked.recipe.dim = 16
    operation = stubs.collections.FitTransform(asked)
    waiting = operations_pb2.WaitOperationRequest(
        name=operation.name, timeout=duration_pb2.Duration(seconds=60)
    )
    ended = stubs.operations.WaitOperation(waiting, timeout=60)
    response = collection_pb2.FitTransformResponse()
    assert ended.response.Unpack(response)
    dims = [each.transform.dim for each in response.collection.spaces]
    assert dims == [0, 16, 0]
    assert not response.collection.HasField("transform")
    for space in ("meaning", "who"):
        assert found(stubs, filled, recording_id="r7", space=space) == before[space]
    gone = collection_pb2.RemoveTransformRequest(collection=filled, space="sound")
    left = stubs.collections.RemoveTransform(gone).collection
    assert not any(each.HasField("transform") for each in left.spaces)
    assert found(stubs, filled, recording_id="r7", space="sound") == before["sound"]


PLAIN = Spec(name="a")
BAD_SPACES: dict[str, tuple[list[embedding_pb2.OutputSpec], str]] = {
    "two of one name": ([PLAIN, PLAIN], "spaces[1].name"),
    "none": ([PLAIN, Spec()], "spaces[1].name"),
    "a digit first": ([Spec(name="1a")], "spaces[0].name"),
    "capitals": ([Spec(name="Sound")], "spaces[0].name"),
    "too long": ([Spec(name="a" * 33)], "spaces[0].name"),
    "a path": ([Spec(name="../a")], "spaces[0].name"),
    "too many": ([Spec(name=f"a{n}") for n in range(9)], "spaces"),
    "an unknown profile": ([PLAIN, Spec(name="b", profile="taste")], "spaces[1].profile"),
    "a layer that is not there": ([PLAIN, Spec(name="b", layer=99)], "spaces[1].layer"),
    "frames": ([PLAIN, Spec(name="b", pooling=types_pb2.POOLING_NONE)], "spaces[1].pooling"),
}


@pytest.mark.parametrize("case", BAD_SPACES)
def test_spaces_that_cannot_be_are_refused(stubs: Stubs, case: str) -> None:
    specs, path = BAD_SPACES[case]
    refusal = refused(stubs.collections.CreateCollection, Create(name="never", spaces=specs))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)
    asked = collection_pb2.GetCollectionRequest(name="never")
    assert refused(stubs.collections.GetCollection, asked).code == "NOT_FOUND"


@pytest.mark.parametrize("field", ["vectors", "foreign_space"])
def test_spaces_stand_alone(stubs: Stubs, field: str) -> None:
    asked = Create(name="never", spaces=SPECS)
    getattr(asked, field).SetInParent()
    refusal = refused(stubs.collections.CreateCollection, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", field)


@pytest.mark.parametrize("count", [1, 8])
def test_there_may_be_one_and_there_may_be_eight(
    stubs: Stubs, new_collection: NewCollection, count: int
) -> None:
    specs = [Spec(name=f"layer-{n}", layer=n % 7) for n in range(count)]
    name = new_collection(spaces=specs)
    (result,) = stubs.collections.AddRecordings(adding(name, recording("a"))).results
    assert not result.HasField("error")
    for spec in specs:
        assert found(stubs, name, audio=recording("a").audio, space=spec.name) == ["a"]


class Made:
    """Ready vectors of a recording for the collection `name`."""

    def __init__(self, stubs: Stubs, name: str, count: int = 2) -> None:
        self.name = name
        self.spaces = told(stubs, name).spaces
        self.count = count

    def part(self, place: int, seed: int = 0) -> collection_pb2.SegmentVectors:
        space = self.spaces[place]
        drawn = np.random.default_rng(seed + place).standard_normal((self.count, space.space.dim))
        made = ready("x", drawn, space.space.fingerprint).vectors
        made.space = space.name
        return made

    def recording(self, *parts: collection_pb2.SegmentVectors) -> collection_pb2.Recording:
        every = collection_pb2.SpaceVectors(spaces=parts)
        return collection_pb2.Recording(id="ready", space_vectors=every)

    def refusal(self, stubs: Stubs, sent: collection_pb2.Recording) -> Refusal:
        good = self.recording(*map(self.part, (2, 0, 1)))
        good.id = "good"
        answer = stubs.collections.AddRecordings(adding(self.name, sent, good))
        assert not answer.results[1].HasField("error")
        return item_refusal(answer.results[0].error)


@pytest.fixture(scope="module")
def made(stubs: Stubs, new_collection: NewCollection) -> Made:
    return Made(stubs, new_collection(spaces=SPECS))


def test_ready_vectors_come_in_every_space_and_any_order(stubs: Stubs, made: Made) -> None:
    parts = [made.part(place, 50) for place in (1, 2, 0)]
    parts[2].space = ""  # the first
    sent = made.recording(*parts)
    (result,) = stubs.collections.AddRecordings(adding(made.name, sent)).results
    assert (result.segment_count, result.HasField("error")) == (2, False)
    for place, space in enumerate(NAMES):
        given = tensors.array(made.part(place, 50).vectors, "vectors", dimensions=2)
        given /= np.linalg.norm(given, axis=1, keepdims=True)
        np.testing.assert_allclose(vectors(stubs, made.name, "ready", space), given, atol=2**-11)


def test_ready_vectors_of_all_but_one_space_are_refused(stubs: Stubs, made: Made) -> None:
    refusal = made.refusal(stubs, made.recording(made.part(0), made.part(2)))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "recordings[0].content")
    assert "but none of 'sound'" in refusal.message
    single = collection_pb2.Recording(id="ready", vectors=made.part(0))
    assert "but none of 'sound'" in made.refusal(stubs, single).message
    assert "but none of 'meaning'" in made.refusal(stubs, made.recording()).message


@pytest.mark.parametrize(
    ("place", "change", "path", "words"),
    [
        (2, {"space": "sound"}, "spaces[2].space", "'sound' is given twice"),
        (2, {"space": "smell"}, "spaces[2].space", "(meaning, sound, who)"),
        (1, {"space_fingerprint": "f00"}, "spaces[1].space_fingerprint", "but is of f00"),
    ],
)
def test_ready_vectors_of_wrong_spaces_are_refused(
    stubs: Stubs, made: Made, place: int, change: dict[str, str], path: str, words: str
) -> None:
    parts = [made.part(n) for n in range(3)]
    for name, changed in change.items():
        setattr(parts[place], name, changed)
    refusal = made.refusal(stubs, made.recording(*parts))
    assert refusal.path == f"recordings[0].space_vectors.{path}"
    assert words in refusal.message


def test_ready_vectors_have_the_same_spans_in_every_space(stubs: Stubs, made: Made) -> None:
    parts = [made.part(n) for n in range(3)]
    parts[2].spans[1].end.seconds += 1
    refusal = made.refusal(stubs, made.recording(*parts))
    assert refusal.path == "recordings[0].space_vectors.spaces[2].spans"
    fewer = Made(stubs, made.name, count=1).part(1)
    refusal = made.refusal(stubs, made.recording(made.part(0), fewer, made.part(2)))
    assert refusal.path == "recordings[0].space_vectors.spaces[1].spans"


def test_a_ready_vector_without_direction_is_told_with_its_space(stubs: Stubs, made: Made) -> None:
    parts = [made.part(n) for n in range(3)]
    dim = made.spaces[1].space.dim
    parts[1].vectors.CopyFrom(tensors.tensor_message(np.zeros((2, dim), np.float32)))
    refusal = made.refusal(stubs, made.recording(*parts))
    assert refusal.path == "recordings[0].space_vectors"
    assert "segments[0].vectors.sound" in refusal.message
