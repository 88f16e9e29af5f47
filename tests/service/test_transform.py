"""Fitting a transform on a collection, and searching through it."""

import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, operation_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import Stubs, adding, ready, refused
from tests.service.conftest import NewCollection
from tests.service.processes import Server

SENTENCES, DIM = 40, 16
LANGUAGES = ("deu", "ell", "fra", "pol")


def spoken(seed: int = 5) -> Floats:
    """Each sentence in each language: what is said, and what all of a language share."""
    random = np.random.default_rng(seed)
    said = random.standard_normal((SENTENCES, 1, DIM))
    noise = 0.3 * random.standard_normal((SENTENCES, len(LANGUAGES), DIM))
    vectors = said + 3 * random.standard_normal((1, len(LANGUAGES), DIM)) + noise
    return np.asarray(vectors, np.float32)


def fill(stubs: Stubs, name: str) -> None:
    sent = [
        ready(f"{language}-{sentence}", vector[None], "t", language=language)
        for sentence, row in enumerate(spoken())
        for language, vector in zip(LANGUAGES, row, strict=True)
    ]
    stubs.collections.AddRecordings(adding(name, *sent))


@pytest.fixture
def filled(stubs: Stubs, new_collection: NewCollection) -> str:
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    fill(stubs, name)
    return name


def fit(stubs: Stubs, name: str, **recipe: Any) -> Any:
    asked = collection_pb2.FitTransformRequest(
        collection=name, recipe=collection_pb2.TransformRecipe(**recipe)
    )
    return stubs.collections.FitTransform(asked, timeout=30)


def wait(stubs: Stubs, name: str, seconds: int = 30) -> Any:
    asked = operations_pb2.WaitOperationRequest(
        name=name, timeout=duration_pb2.Duration(seconds=seconds)
    )
    return stubs.operations.WaitOperation(asked, timeout=60)


def first_foreign(stubs: Stubs, name: str) -> float:
    """Share of sentences whose nearest in another language says the same."""
    right = 0
    for sentence, row in enumerate(spoken()):
        query = search_pb2.QueryVector(space_fingerprint="t", vector=tensors.tensor_message(row[0]))
        equals = collection_pb2.Filter.Equals(
            field="language", value=collection_pb2.Value(text="deu")
        )
        other = collection_pb2.Filter(negated=collection_pb2.Filter(equals=equals))
        request = search_pb2.SearchRequest(collection=name, vector=query, filter=other, top_k=1)
        (hit,) = stubs.search.Search(request, timeout=30).hits
        right += hit.recording_id.endswith(f"-{sentence}")
    return right / SENTENCES


def test_translations_are_found_after_the_languages_are_centered(stubs: Stubs, filled: str) -> None:
    before = first_foreign(stubs, filled)
    ended = wait(stubs, fit(stubs, filled, language_field="language", dim=12).name)
    assert ended.done
    response = collection_pb2.FitTransformResponse()
    assert ended.response.Unpack(response)
    told = response.collection.transform
    assert (told.version, told.dim, told.segment_count) == (1, 12, SENTENCES * len(LANGUAGES))
    assert (told.recipe.language_field, told.recipe.whiten) == ("language", False)
    after = first_foreign(stubs, filled)
    assert before < 0.6
    assert after > 0.9
    request = collection_pb2.RemoveTransformRequest(collection=filled)
    removed = stubs.collections.RemoveTransform(request, timeout=30).collection
    assert not removed.HasField("transform")
    assert first_foreign(stubs, filled) == before


def test_the_operation_tells_what_it_does(stubs: Stubs, filled: str) -> None:
    begun = fit(stubs, filled)
    wait(stubs, begun.name)
    asked = operations_pb2.GetOperationRequest(name=begun.name)
    operation = stubs.operations.GetOperation(asked, timeout=30)
    metadata = operation_pb2.OperationMetadata()
    assert operation.metadata.Unpack(metadata)
    assert (metadata.kind, metadata.target) == ("fit-transform", f"collections/{filled}")
    assert (metadata.done_steps, metadata.total_steps) == (2, 3)
    assert abs(metadata.create_time.ToSeconds() - time.time()) < 60


def test_operations_are_listed_in_pages_and_deleted(stubs: Stubs, filled: str) -> None:
    names = []
    for _ in range(3):
        names.append(fit(stubs, filled).name)
        wait(stubs, names[-1])
    seen: list[str] = []
    request = operations_pb2.ListOperationsRequest(page_size=2)
    while True:
        reply = stubs.operations.ListOperations(request, timeout=30)
        assert len(reply.operations) <= 2
        seen += [each.name for each in reply.operations]
        if not reply.next_page_token:
            break
        request.page_token = reply.next_page_token
    assert [name for name in seen if name in names] == names
    gone = operations_pb2.DeleteOperationRequest(name=names[1])
    stubs.operations.DeleteOperation(gone, timeout=30)
    refusal = refused(
        stubs.operations.GetOperation, operations_pb2.GetOperationRequest(name=names[1])
    )
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "OPERATION_NOT_FOUND")


def test_what_cannot_be_fitted_says_why(stubs: Stubs, new_collection: NewCollection) -> None:
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=DIM))
    ended = wait(stubs, fit(stubs, name).name)
    assert ended.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert "at least 32 segments to fit on, but has 0" in ended.error.message
    fill(stubs, name)
    ended = wait(stubs, fit(stubs, name, language_field="tongue").name)
    assert "'tongue' is not" in ended.error.message


@pytest.mark.parametrize(
    ("recipe", "path"), [({"drop": DIM}, "recipe.drop"), ({"dim": DIM + 1}, "recipe.dim")]
)
def test_a_recipe_that_cannot_be_is_refused_at_once(
    stubs: Stubs, filled: str, recipe: dict[str, Any], path: str
) -> None:
    asked = collection_pb2.FitTransformRequest(
        collection=filled, recipe=collection_pb2.TransformRecipe(**recipe)
    )
    refusal = refused(stubs.collections.FitTransform, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)


def test_a_collection_that_is_not_there_is_refused(stubs: Stubs) -> None:
    for method, kind in (
        (stubs.collections.FitTransform, collection_pb2.FitTransformRequest),
        (stubs.collections.RemoveTransform, collection_pb2.RemoveTransformRequest),
    ):
        refusal = refused(method, kind(collection="nothing"))
        assert (refusal.code, refusal.path) == ("NOT_FOUND", "collection")


@pytest.mark.parametrize("name", ["", "x", "operations", "operations/", "things/1"])
def test_a_name_that_is_of_no_operation_is_refused(stubs: Stubs, name: str) -> None:
    for method, kind in (
        (stubs.operations.GetOperation, operations_pb2.GetOperationRequest),
        (stubs.operations.WaitOperation, operations_pb2.WaitOperationRequest),
        (stubs.operations.CancelOperation, operations_pb2.CancelOperationRequest),
        (stubs.operations.DeleteOperation, operations_pb2.DeleteOperationRequest),
    ):
        refusal = refused(method, kind(name=name))
        assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "name")


def test_a_server_that_is_killed_while_it_fits_goes_on_afterwards(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
        space = types_pb2.Space(fingerprint="t", dim=DIM)
        stubs.collections.CreateCollection(
            collection_pb2.CreateCollectionRequest(name="x", foreign_space=space), timeout=30
        )
        fill(stubs, "x")
        before = first_foreign(stubs, "x")
        begun = fit(stubs, "x", language_field="language")
    with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
        ended = wait(stubs, begun.name)
        assert ended.done
        assert not ended.HasField("error")
        assert first_foreign(stubs, "x") > max(before, 0.9)
