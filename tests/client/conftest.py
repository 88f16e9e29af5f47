"""The same service twice: in this process, and behind an address."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc import Client
from embedsvc.samples import clips
from embedsvc.testing import serving
from embedsvc.types import Floats

SMALL = {
    "server": {"max_request_bytes": 200_000},
    "audio": {"max_unary_seconds": 5.0},
}
"""Limits that a few seconds of audio reach."""


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(":local:", data=tmp_path_factory.mktemp("local")) as client:
        yield client


@pytest.fixture(scope="session")
def remote(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


@pytest.fixture(params=["local", "remote"])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def small() -> Iterator[Client]:
    with serving(SMALL) as address, Client(address) as client:
        yield client


@pytest.fixture(scope="session")
def clip() -> Path:
    return clips("archive")[0].path


@pytest.fixture(scope="session")
def speech(clip: Path) -> Floats:
    samples, rate = soundfile.read(clip, dtype="float32")
    assert rate == 16_000
    return np.asarray(samples, np.float32)


@pytest.fixture(scope="session")
def wav(speech: Floats) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()
