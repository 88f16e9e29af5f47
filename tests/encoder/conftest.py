from pathlib import Path
from typing import Any

import pytest

from embedsvc.encoder import Encoder, resolve
from tests.encoder.reference import reference, save


@pytest.fixture(scope="session")
def model() -> Any:
    """The reference model of the small checkpoint."""
    return reference()


@pytest.fixture(scope="session")
def directory(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint; tests must not change it."""
    return save(model, tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def encoder(directory: Path) -> Encoder:
    """The encoder of the small checkpoint."""
    return Encoder.load(resolve(str(directory)))
