from collections.abc import Iterator
from pathlib import Path

import pytest

from embedsvc.index import Catalog, Collection
from tests.index.builders import SEGMENTATION, SMALL, space


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        yield catalog


@pytest.fixture
def collection(catalog: Catalog) -> Collection:
    return catalog.create("birds", space(), SEGMENTATION)
