"""One real server for most tests; those that need small limits start their own."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, server_pb2
from tests.service.calls import BOUND, Stubs, request, vector
from tests.service.processes import Server

NewCollection = Callable[..., str]


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """The address of a server with the default settings."""
    with serving() as target:
        yield target


@pytest.fixture(scope="session")
def stubs(target: str) -> Iterator[Stubs]:
    """Its services."""
    with Stubs(target) as stubs:
        yield stubs


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a process of its own, which is to survive every test."""
    with Server(tmp_path_factory.mktemp("process") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def usual(stubs: Stubs) -> Floats:
    """The vector of the usual second of speech."""
    return vector(stubs.embedding.Embed(request()).embedding)


@pytest.fixture(scope="session")
def model(stubs: Stubs) -> server_pb2.ModelInfo:
    """What the server says of its model."""
    return stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).model


@pytest.fixture
def still_answers(stubs: Stubs, usual: Floats) -> Iterator[None]:
    """Whatever a test does, the server answers as usual afterwards."""
    yield
    again = vector(stubs.embedding.Embed(request(), timeout=60).embedding)
    np.testing.assert_allclose(again, usual, atol=BOUND)


@pytest.fixture(scope="session")
def new_collection(stubs: Stubs) -> NewCollection:
    """Makes an empty collection; gives its name."""
    numbers = itertools.count()

    def make(**fields: object) -> str:
        name = f"made-{next(numbers)}"
        made = collection_pb2.CreateCollectionRequest(name=name, **fields)  # type: ignore[arg-type]  # any field
        stubs.collections.CreateCollection(made)
        return name

    return make


@pytest.fixture
def collection(new_collection: NewCollection) -> str:
    """An empty collection of the model's own space."""
    return new_collection()
