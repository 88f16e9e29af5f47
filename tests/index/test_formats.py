"""What earlier versions wrote is still read: `stored/` holds a data directory of each.

That of format 1 was written with the builders of these tests: `plain`, and `fitted`, which keeps
codes and was fitted twice. Each got r0 to r19, a base, and r20 to r39, and lost r3 and r33;
`fitted` got its transform and then r50. That of format 2 has `two`, of two spaces with codes and
with the same recordings as `plain`.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

from embedsvc.index import Catalog, Collection, WriteMode
from embedsvc.transforms import fit
from embedsvc.types import TransformRecipe
from tests.index.builders import (
    SEGMENTATION,
    SMALL,
    TWO,
    Oracle,
    assert_finds,
    coded,
    recording,
    space,
    stored,
    vector,
)

STORED = Path(__file__).parent / "stored"
KEPT = [n for n in range(40) if n not in {3, 33}]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with tarfile.open(STORED / "format-1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def catalog(data: Path) -> Iterator[Catalog]:
    with Catalog(data, SMALL) as catalog:
        yield catalog


def oracle_of(numbers: list[int]) -> Oracle:
    oracle = Oracle()
    for n in numbers:
        oracle.put(recording(f"r{n}", n, 2, metadata={"n": n}))
    return oracle


def searched(collection: Collection, numbers: list[int]) -> None:
    """Every answer is what the vectors say, through the collection's transform."""
    transform = collection.transform()
    assert transform is not None
    matrix = np.stack(
        [stored(each.vector) for n in numbers for each in recording(f"r{n}", n, 2).segments]
    )
    for seed in range(900, 905):
        query = vector(seed) / np.linalg.norm(vector(seed))
        moved = transform(matrix).astype(np.float16).astype(np.float32)
        wanted = np.sort(moved @ transform(query[None].astype(np.float32))[0])[::-1][:10]
        scores = [hit.score for hit in collection.search(query, 10).hits]
        assert np.allclose(scores, wanted, atol=2e-6)


def test_a_collection_of_format_1_has_one_space_without_a_name(catalog: Catalog) -> None:
    plain = catalog.get("plain")
    assert list(plain.spaces.items()) == [("", space())]
    assert plain.segmentation == SEGMENTATION
    assert (plain.info().recordings, plain.info().sequence) == (38, 3)
    assert len(plain._store.view.spaces[0].base) == 40
    for seed in range(5):
        assert_finds(plain, oracle_of(KEPT), vector(seed), 100)


def test_its_transform_and_codes_are_in_force(catalog: Catalog) -> None:
    collection = catalog.get("fitted")
    searched(collection, [*KEPT, 50])
    info = collection.info().fitted
    assert info is not None
    assert (info.version, info.segments, info.recipe) == (2, 76, TransformRecipe(dim=5))
    assert collection.codes.recipe == b"a recipe"
    assert np.array_equal(collection.codes.of("r50"), coded(50))
    assert len(collection._store.view.spaces[0].base) == 76


def test_it_is_written_to_and_fitted_again(data: Path) -> None:
    with Catalog(data, SMALL) as catalog:
        collection = catalog.get("fitted")
        collection.add([recording("r60", 60, 2)], mode=WriteMode.UPSERT)
        recipe = TransformRecipe(dim=4)
        collection.adopt(fit(collection.sample(1_000), recipe), recipe, 80)
        collection.compact()
    with Catalog(data, SMALL) as catalog:
        collection = catalog.get("fitted")
        info = collection.info().fitted
        assert info is not None
        assert (info.version, info.dim) == (3, 4)
        searched(collection, [*KEPT, 50, 60])


def test_its_tables_are_brought_up_to_date_once(data: Path) -> None:
    for _ in range(2):
        with Catalog(data, SMALL) as catalog:
            searched(catalog.get("fitted"), [*KEPT, 50])
            catalog.get("plain")
        for path in data.glob("collections/*/rows.db"):
            connection = apsw.Connection(str(path))
            assert connection.execute("SELECT value FROM meta WHERE key = 'format'").get == 3
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            assert "fitted" in tables
            assert "transform" not in tables
            assert {"line", "phones", "words"} <= tables
            connection.close()


def test_tables_from_before_there_were_transforms_are_read(data: Path) -> None:
    for path in data.glob("collections/*/rows.db"):
        connection = apsw.Connection(str(path))
        connection.execute("DROP TABLE transform")
        connection.close()
    with Catalog(data, SMALL) as catalog:
        assert_finds(catalog.get("plain"), oracle_of(KEPT), vector(1), 100)
        assert catalog.get("fitted").info().fitted is None


def test_a_collection_of_format_2_keeps_all_it_has_and_no_texts(tmp_path: Path) -> None:
    with tarfile.open(STORED / "format-2.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    oracle = Oracle()
    for n in KEPT:
        oracle.put(recording(f"r{n}", n, 2, metadata={"n": n}, more=(5,)))
    for _ in range(2):
        with Catalog(tmp_path, SMALL) as catalog:
            two = catalog.get("two")
            assert dict(two.spaces) == TWO
            assert two.info().texts is None
            for place, dim in enumerate((8, 5)):
                assert_finds(two, oracle, vector(7, dim), 100, place=place)
            assert np.array_equal(two.codes.of("r5"), coded(5))
            assert two.texts.of("r5") == []
    with Catalog(tmp_path, SMALL) as catalog:
        two = catalog.get("two")
        two.add([recording("r90", 90, 2, more=(5,))], mode=WriteMode.UPSERT)
        two.delete(["r5"])
        assert two.info().recordings == 38
