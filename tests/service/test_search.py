"""Searching by audio, by vector and by a stored recording."""

from typing import Any

import numpy as np
import pytest

from embedsvc.samples import clips
from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import (
    Stubs,
    adding,
    pcm,
    ready,
    recording,
    refused,
    request,
    speech,
    value,
    vector,
)
from tests.service.conftest import NewCollection

Filter = collection_pb2.Filter
COUNT, DIM = 60, 8


@pytest.fixture(scope="module")
def numbers() -> Floats:
    """Two segments of eight numbers for each of sixty recordings."""
    return np.random.default_rng(5).standard_normal((COUNT, 2, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def filled(stubs: Stubs, new_collection: NewCollection, numbers: Floats) -> str:
    """A collection of those vectors, with metadata."""
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    sent = [
        ready(f"r{n}", rows, "t", year=1960 + n, language="pol" if n % 3 else "eng", half=n / 2)
        for n, rows in enumerate(numbers)
    ]
    stubs.collections.AddRecordings(adding(name, *sent))
    return name


def by_vector(name: str, query: Floats, **fields: Any) -> search_pb2.SearchRequest:
    found = search_pb2.QueryVector(space_fingerprint="t", vector=tensors.tensor_message(query))
    return search_pb2.SearchRequest(collection=name, vector=found, **fields)


def cosines(numbers: Floats, query: Floats) -> Floats:
    rows = numbers.reshape(-1, DIM)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ (query / np.linalg.norm(query)))


def test_hits_are_the_nearest_segments_best_first(
    stubs: Stubs, filled: str, numbers: Floats
) -> None:
    query = np.arange(DIM, dtype=np.float32)
    answer = stubs.search.Search(by_vector(filled, query, top_k=7))
    scores = cosines(numbers, query)
    best = np.argsort(-scores)[:7]
    assert [hit.recording_id for hit in answer.hits] == [f"r{place // 2}" for place in best]
    np.testing.assert_allclose([hit.score for hit in answer.hits], scores[best], atol=1e-3)
    spans = [hit.matched_span.start.seconds for hit in answer.hits]
    assert spans == [place % 2 for place in best]
    assert answer.exact
    assert answer.scanned_segments == 2 * COUNT
    assert answer.hits[0].metadata["year"].integer == 1960 + best[0] // 2


def test_ten_hits_are_given_unless_asked_otherwise(stubs: Stubs, filled: str) -> None:
    query = np.ones(DIM, np.float32)
    assert len(stubs.search.Search(by_vector(filled, query)).hits) == 10
    assert len(stubs.search.Search(by_vector(filled, query, top_k=1000)).hits) == 2 * COUNT


def test_scores_below_the_least_are_left_out(stubs: Stubs, filled: str) -> None:
    query = np.ones(DIM, np.float32)
    everything = stubs.search.Search(by_vector(filled, query, top_k=1000)).hits
    answer = stubs.search.Search(by_vector(filled, query, top_k=1000, min_score=0.25))
    assert list(answer.hits) == [hit for hit in everything if hit.score >= 0.25]
    assert 0 < len(answer.hits) < len(everything)


def test_a_recording_may_count_once(stubs: Stubs, filled: str, numbers: Floats) -> None:
    query = np.ones(DIM, np.float32)
    answer = stubs.search.Search(by_vector(filled, query, top_k=20, one_per_recording=True))
    scores = cosines(numbers, query).reshape(COUNT, 2).max(axis=1)
    expected = [f"r{place}" for place in np.argsort(-scores)[:20]]
    assert [hit.recording_id for hit in answer.hits] == expected


def test_a_recording_finds_its_neighbors_and_not_itself(
    stubs: Stubs, filled: str, numbers: Floats
) -> None:
    asked = search_pb2.SearchRequest(collection=filled, recording_id="r7", top_k=5)
    rows = numbers[7] / np.linalg.norm(numbers[7], axis=1, keepdims=True)
    scores = cosines(numbers, rows.mean(axis=0))
    best = [place // 2 for place in np.argsort(-scores) if place // 2 != 7][:5]
    assert [hit.recording_id for hit in stubs.search.Search(asked).hits] == [f"r{p}" for p in best]


def equals(field: str, wanted: Any) -> collection_pb2.Filter:
    return Filter(equals=Filter.Equals(field=field, value=value(wanted)))


FILTERS: dict[str, tuple[collection_pb2.Filter, set[int]]] = {
    "equals": (equals("language", "eng"), set(range(0, COUNT, 3))),
    "equal numbers of two types": (equals("half", 5), {10}),
    "no value of another kind": (equals("year", "1960"), set()),
    "one of": (
        Filter(one_of=Filter.In(field="year", values=[value(1961), value(1963)])),
        {1, 3},
    ),
    "range": (
        Filter(range=Filter.Range(field="year", gte=value(2000), lt=value(2005))),
        set(range(40, 45)),
    ),
    "exists": (Filter(exists=Filter.Exists(field="year")), set(range(COUNT))),
    "not": (Filter(negated=Filter(exists=Filter.Exists(field="year"))), set()),
    "all of": (
        Filter(all_of=Filter.List(filters=[equals("language", "eng"), equals("year", 1960)])),
        {0},
    ),
    "any of": (
        Filter(any_of=Filter.List(filters=[equals("year", 1961), equals("year", 1960)])),
        {0, 1},
    ),
}


@pytest.mark.parametrize("case", FILTERS)
def test_a_filter_leaves_out_all_others_and_loses_none(
    stubs: Stubs, filled: str, case: str
) -> None:
    condition, expected = FILTERS[case]
    query = np.ones(DIM, np.float32)
    answer = stubs.search.Search(by_vector(filled, query, filter=condition, top_k=1000))
    assert {hit.recording_id for hit in answer.hits} == {f"r{number}" for number in expected}
    assert len(answer.hits) == 2 * len(expected)
    assert answer.exact
    asked = collection_pb2.CountRecordingsRequest(collection=filled, filter=condition)
    assert stubs.collections.CountRecordings(asked).count == len(expected)


def test_an_empty_collection_has_no_hits(stubs: Stubs, collection: str) -> None:
    asked = search_pb2.SearchRequest(collection=collection, audio=pcm(speech()))
    answer = stubs.search.Search(asked)
    assert list(answer.hits) == []
    assert answer.exact
    assert answer.usage.frames == 49


def test_audio_finds_itself_and_the_place_in_it(stubs: Stubs, collection: str) -> None:
    parts = [speech(3, seed) for seed in range(4)]
    sent = [recording("long", pcm(np.concatenate(parts))), recording("short", pcm(parts[1]))]
    stubs.collections.AddRecordings(adding(collection, *sent))
    asked = search_pb2.SearchRequest(collection=collection, audio=pcm(parts[1]), top_k=3)
    answer = stubs.search.Search(asked)
    first = answer.hits[0]
    assert (first.recording_id, first.matched_span.end.ToMilliseconds()) == ("short", 3_000)
    assert first.score == pytest.approx(1, abs=2e-3)
    assert answer.usage.audio_seconds == 3
    assert answer.timing.compute.ToNanoseconds() > 0


def test_audio_and_its_own_vector_find_the_same(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, *map(recording, "abcdef")))
    audio = pcm(speech(2, 9))
    output = stubs.embedding.Embed(request(audio)).embedding
    query = search_pb2.QueryVector(
        space_fingerprint=output.outputs[0].space.fingerprint,
        vector=tensors.tensor_message(vector(output)),
    )
    one, other = (
        stubs.search.Search(asked).hits
        for asked in (
            search_pb2.SearchRequest(collection=collection, audio=audio),
            search_pb2.SearchRequest(collection=collection, vector=query),
        )
    )
    assert [hit.recording_id for hit in one] == [hit.recording_id for hit in other]


def test_warnings_about_the_query_are_told(stubs: Stubs, collection: str) -> None:
    asked = search_pb2.SearchRequest(collection=collection, audio=pcm(speech(rate=8_000), 8_000))
    codes = {warning.code for warning in stubs.search.Search(asked).warnings}
    assert types_pb2.WARNING_CODE_RESAMPLED in codes


def test_a_spoken_sentence_finds_the_same_words_by_another_speaker(
    stubs: Stubs, collection: str
) -> None:
    language = clips("archive")[0].language
    archive = [clip for clip in clips("archive") if clip.language == language]
    sent = [
        recording(clip.group, types_pb2.Audio(encoded=clip.data()), text=clip.text)
        for clip in archive
    ]
    stubs.collections.AddRecordings(adding(collection, *sent))
    asked = search_pb2.SearchRequest(
        collection=collection, audio=types_pb2.Audio(encoded=archive[0].data()), top_k=1
    )
    assert stubs.search.Search(asked).hits[0].recording_id == archive[0].group


def test_a_language_can_be_kept_from_taking_all_the_hits(stubs: Stubs, filled: str) -> None:
    query = np.ones(DIM, np.float32)
    limit = search_pb2.HitLimit(field="language", count=3)
    answer = stubs.search.Search(by_vector(filled, query, at_most=limit))
    languages = [hit.metadata["language"].text for hit in answer.hits]
    assert sorted(languages) == ["eng"] * 3 + ["pol"] * 3
    everything = stubs.search.Search(by_vector(filled, query, top_k=1000)).hits
    first = [hit for hit in everything if hit.metadata["language"].text == "eng"][:3]
    assert [hit for hit in answer.hits if hit.metadata["language"].text == "eng"] == first


def test_hits_are_explained_when_asked(stubs: Stubs, filled: str) -> None:
    query = np.ones(DIM, np.float32)
    answer = stubs.search.Search(by_vector(filled, query, explain=True))
    for hit in answer.hits:
        assert abs(hit.explanation.stored_cosine - hit.score) < 1e-4
    plain = stubs.search.Search(by_vector(filled, query))
    assert not any(hit.HasField("explanation") for hit in plain.hits)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"at_most": search_pb2.HitLimit(field="language")}, "at_most"),
        ({"at_most": search_pb2.HitLimit(count=2)}, "at_most"),
        ({"explain": True, "moments": search_pb2.MomentSearch()}, "explain"),
        (
            {
                "at_most": search_pb2.HitLimit(field="a", count=2),
                "moments": search_pb2.MomentSearch(),
            },
            "at_most",
        ),
    ],
)
def test_wishes_that_cannot_be_are_refused_with_their_path(
    stubs: Stubs, filled: str, fields: dict[str, Any], path: str
) -> None:
    refusal = refused(stubs.search.Search, by_vector(filled, np.ones(DIM, np.float32), **fields))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)
