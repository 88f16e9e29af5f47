import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedsvc import Client, Collection, OutputSpec, Segmentation
from embedsvc.client import results
from embedsvc.errors import (
    AlreadyExists,
    AudioUndecodable,
    CollectionNotFound,
    InvalidArgument,
    RecordingNotFound,
    SpaceMismatch,
)
from embedsvc.filters import Equals
from embedsvc.samples import clips
from embedsvc.types import (
    Floats,
    Lane,
    Metadata,
    Pooling,
    Segment,
    Span,
)
from embedsvc.v1 import collection_pb2

if TYPE_CHECKING:
    from embedsvc.client.collection import NewRecording


@contextmanager
def filled(client: Client) -> Iterator[Collection]:
    """A collection with one clip of each of five languages."""
    made = client.create_collection(f"test-{uuid.uuid4().hex[:8]}")
    batch: list[NewRecording] = [
        (clip.path.stem, clip.path, {"language": clip.language, "year": 1990 + place})
        for place, clip in enumerate(clips("archive")[:25:5])
    ]
    assert all(result.error is None for result in made.add_batch(batch))
    yield made
    client.delete_collection(made.name, missing_ok=True)


@pytest.fixture
def collection(client: Client) -> Iterator[Collection]:
    with filled(client) as made:
        yield made


@pytest.fixture(scope="module")
def both(local: Client, remote: Client) -> Iterator[dict[Client, Collection]]:
    with filled(local) as here, filled(remote) as there:
        yield {local: here, remote: there}


@pytest.fixture
def kept(client: Client, both: dict[Client, Collection]) -> Collection:
    """A collection that tests only read."""
    return both[client]


def test_what_was_added_is_found_at_once_with_its_span(kept: Collection, speech: Floats) -> None:
    found = kept.search((speech, 16_000))
    assert found.exact
    assert len(found) == found.scanned == 5
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert found[0].id == clips("archive")[0].path.stem
    assert found[0].score == pytest.approx(1.0, abs=1e-4)
    assert found[0].span == Span(0, len(speech))
    assert found[0].metadata == {"language": "eng", "year": 1990}


def test_a_filter_is_text_or_a_tree(kept: Collection, clip: Path) -> None:
    language = clips("archive")[5].language
    for where in (f'language = "{language}" and year < 2000', Equals("language", language)):
        assert [hit.metadata["language"] for hit in kept.search(clip, where=where)] == [language]
        assert kept.count(where) == 1
        assert [stored.metadata["language"] for stored in kept.list(where)] == [language]


def test_a_filter_that_is_no_sentence_is_told_before_anything_is_sent(
    kept: Collection, clip: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        kept.search(clip, where="language =")
    assert caught.value.field == "filter"


def test_scores_below_the_least_one_are_left_out(kept: Collection, clip: Path) -> None:
    best, *_ = kept.search(clip)
    assert [hit.id for hit in kept.search(clip, min_score=0.999)] == [best.id]


def test_a_stored_recording_and_its_vector_are_queries_too(
    client: Client, kept: Collection, clip: Path
) -> None:
    by_audio = [hit.id for hit in kept.search(clip)]
    by_id = [hit.id for hit in kept.search(recording=clip.stem)]
    embedding = client.embed(clip)
    by_vector = kept.search(vector=embedding.vector, fingerprint=kept.info().space.fingerprint)
    assert [hit.id for hit in by_vector] == by_audio
    assert [name for name in by_audio if name != clip.stem] == [
        name for name in by_id if name != clip.stem
    ]


def test_a_vector_of_another_space_is_refused(client: Client, kept: Collection, clip: Path) -> None:
    other = client.embed(clip, layer=2)
    with pytest.raises(SpaceMismatch):
        kept.search(vector=other.vector, fingerprint=other.space.fingerprint)


def test_a_query_that_is_not_stored_is_named(kept: Collection) -> None:
    with pytest.raises(RecordingNotFound, match="nobody"):
        kept.search(recording="nobody")


def test_a_search_for_nothing_is_refused(kept: Collection) -> None:
    with pytest.raises(InvalidArgument):
        kept.search()


@pytest.mark.parametrize("top_k", [0, -1, 1001, 2**40])
def test_the_number_of_hits_has_bounds(kept: Collection, clip: Path, top_k: int) -> None:
    with pytest.raises(InvalidArgument, match="`top_k`") as caught:
        kept.search(clip, top_k=top_k)
    assert caught.value.field == "top_k"


def test_recordings_are_listed_in_order_over_pages(kept: Collection) -> None:
    names = [clip.path.stem for clip in clips("archive")[:25:5]]
    assert [stored.id for stored in kept.list(page_size=2)] == names


def test_recordings_are_given_back_by_id_with_their_vectors(
    kept: Collection, clip: Path, speech: Floats
) -> None:
    stored = kept.get([clip.stem, "nobody"])
    assert list(stored) == [clip.stem]
    assert stored[clip.stem].length == len(speech)
    assert stored[clip.stem].spans == (Span(0, len(speech)),)
    (segment,) = kept.segments(clip.stem)
    assert segment.vector.dtype == np.float32
    assert segment.vector.shape == (kept.info().space.dim,)
    assert kept.segments("nobody") == []


def test_a_server_that_tells_of_one_space_is_understood(kept: Collection) -> None:
    asked = collection_pb2.GetCollectionRequest(name=kept.name)
    message = kept._stub.GetCollection(asked).collection
    known = results.collection_info(message)
    message.ClearField("spaces")
    assert results.collection_info(message) == known == kept.info()


def test_writes_mind_what_is_there(collection: Collection, clip: Path) -> None:
    with pytest.raises(AlreadyExists, match=clip.stem):
        collection.add(clip.stem, clip, mode="insert")
    with pytest.raises(RecordingNotFound, match="nobody"):
        collection.add("nobody", clip, mode="update")
    with pytest.raises(InvalidArgument, match="upsert, insert, update"):
        collection.add(clip.stem, clip, mode="replace")
    collection.add(clip.stem, clip, {"year": 2020}, mode="update")
    assert collection.get([clip.stem])[clip.stem].metadata == {"year": 2020}
    assert collection.count() == 5


def test_recordings_may_be_added_in_any_lane(collection: Collection, clip: Path) -> None:
    assert collection.add("a", clip, lane=Lane.BULK).error is None
    assert collection.add_batch([("b", clip, {})], lane="interactive")[0].error is None
    with pytest.raises(InvalidArgument, match="`lane` must be one of interactive, normal, bulk"):
        collection.add("c", clip, lane="fast")


def test_what_is_unchanged_can_be_left_alone(collection: Collection, clip: Path) -> None:
    labels: Metadata = {"language": "eng", "year": 1990}
    before = collection.info().sequence
    assert collection.add(clip.stem, clip, labels, skip_unchanged=True).unchanged
    assert collection.info().sequence == before
    assert not collection.add(clip.stem, clip, {"year": 1}, skip_unchanged=True).unchanged


def test_one_bad_recording_does_not_keep_out_the_others(
    collection: Collection, clip: Path, tmp_path: Path
) -> None:
    labels = {"tags": ["a", "list"]}
    bad, good, missing, odd = collection.add_batch(
        [
            ("bad", b"no sound", {}),
            ("good", clip, {}),
            ("missing", tmp_path / "nowhere.wav", {}),
            ("odd", clip, labels),  # type: ignore[list-item]  # the mistake
        ]
    )
    assert isinstance(bad.error, AudioUndecodable)
    assert good.error is None
    assert isinstance(missing.error, AudioUndecodable)
    assert isinstance(odd.error, InvalidArgument)
    assert [result.id for result in (bad, good, missing, odd)] == ["bad", "good", "missing", "odd"]
    assert set(collection.get(["bad", "good", "missing", "odd"])) == {"good"}


def test_one_recording_that_cannot_be_stored_raises(kept: Collection) -> None:
    with pytest.raises(AudioUndecodable) as caught:
        kept.add("bad", b"no sound")
    assert caught.value.field


def test_deleting_takes_ids_or_a_filter_and_can_be_tried_first(collection: Collection) -> None:
    assert collection.delete(where="year < 1992", dry_run=True) == 2
    assert collection.count() == 5
    assert collection.delete(where="year < 1992") == 2
    (last, *_) = collection.list()
    assert collection.delete([last.id, "nobody"]) == 1
    assert collection.count() == 2
    for asked in ({}, {"ids": ["a"], "where": "year < 1"}):
        with pytest.raises(InvalidArgument, match="either"):
            collection.delete(**asked)  # type: ignore[arg-type]  # the mistake


def test_vectors_made_elsewhere_are_stored_and_found(client: Client, clip: Path) -> None:
    layered = OutputSpec(layer=3, pooling=Pooling.MEAN)
    name = f"test-{uuid.uuid4().hex[:8]}"
    collection = client.create_collection(name, vectors=layered)
    output = client.embed(clip, outputs=[layered]).outputs[0]
    segment = Segment(Span(0, 64_000), output.array)
    collection.add_vectors("made", [segment], output.space.fingerprint, {"by": "hand"})
    (hit,) = collection.search(clip)
    assert (hit.id, hit.metadata) == ("made", {"by": "hand"})
    assert hit.score == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(SpaceMismatch):
        collection.add_vectors("wrong", [segment], "0" * 32)
    client.delete_collection(name)


def test_long_recordings_are_cut_as_the_collection_says(client: Client, speech: Floats) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    cut = Segmentation(2 * 16_000, 1 * 16_000)
    collection = client.create_collection(name, segmentation=cut)
    long = np.concatenate([speech] * 3)
    added = collection.add("long", (long, 16_000))
    spans = collection.get(["long"])["long"].spans
    assert added.segment_count == len(spans) > 5
    assert spans[0].start == 0
    assert spans[-1].end == len(long)
    hits = collection.search((speech, 16_000), top_k=5)
    assert {hit.id for hit in hits} == {"long"}
    assert len(collection.search((speech, 16_000), one_per_recording=True)) == 1
    client.delete_collection(name)


def test_collections_are_listed_by_name_and_deleted_once(client: Client) -> None:
    names = [f"test-{letter}-{uuid.uuid4().hex[:8]}" for letter in "ab"]
    for name in reversed(names):
        client.create_collection(name)
    listed = [info.name for info in client.collections()]
    assert [name for name in listed if name in names] == names
    for name in names:
        client.delete_collection(name)
        with pytest.raises(CollectionNotFound, match=name):
            client.delete_collection(name)
        client.delete_collection(name, missing_ok=True)


def test_a_collection_is_made_once_unless_it_may_exist(client: Client, kept: Collection) -> None:
    with pytest.raises(AlreadyExists, match=kept.name):
        client.create_collection(kept.name)
    assert client.create_collection(kept.name, exist_ok=True).count() == 5


def test_a_collection_that_is_not_there_is_named_when_it_is_used(
    client: Client, clip: Path
) -> None:
    for call in (
        lambda: client.collection("nowhere").search(clip),
        lambda: client.collection("nowhere").add("a", clip),
        lambda: client.collection("nowhere").info(),
        lambda: list(client.collection("nowhere").list()),
    ):
        with pytest.raises(CollectionNotFound, match="nowhere"):
            call()
