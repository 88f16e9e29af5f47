import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from embedsvc.errors import (
    AlreadyExists,
    CollectionNotFound,
    DataDirectoryInUse,
    EmbedsvcError,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
)
from embedsvc.index import Catalog, WriteMode
from embedsvc.types import Segmentation
from tests.index.builders import SEGMENTATION, SMALL, recording, space, vector


def folders(directory: Path) -> set[str]:
    return {path.name for path in (directory / "collections").iterdir()}


def test_collections_are_kept_apart_and_come_back(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        birds = catalog.create("birds", space(8), Segmentation(16_000, 8_000))
        bees = catalog.create("bees", space(3), SEGMENTATION)
        birds.add([recording("a", 1)], mode=WriteMode.UPSERT)
        bees.add([recording("b", 1, dim=3)], mode=WriteMode.UPSERT)
        created_at = birds.info().created_at
    with Catalog(tmp_path, SMALL) as catalog:
        birds = catalog.get("birds")
        assert catalog.names() == ["bees", "birds"]
        assert (birds.name, birds.space(), birds.segmentation) == (
            "birds",
            space(8),
            Segmentation(16_000, 8_000),
        )
        assert birds.info().created_at == created_at
        assert [hit.id for hit in birds.search(vector(1), 9).hits] == ["a"]
        assert [hit.id for hit in catalog.get("bees").search(vector(1, 3), 9).hits] == ["b"]
        assert catalog.get("birds") is birds


def test_names_come_in_pages(catalog: Catalog) -> None:
    for name in ("c", "a", "b"):
        catalog.create(name, space(), SEGMENTATION)
    assert catalog.names(limit=2) == ["a", "b"]
    assert catalog.names("b", 2) == ["c"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "A",
        "-a",
        "_a",
        "a b",
        "a/b",
        "..",
        "../x",
        "a.b",
        "é",
        "a\n",
        "a'; DROP",
        "a\0",
    ],
)
def test_a_name_is_plain(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        catalog.create(name, space(), SEGMENTATION)
    assert caught.value.field == "collection"
    for call in (catalog.get, catalog.delete):
        with pytest.raises(CollectionNotFound):
            call(name)


@pytest.mark.parametrize("name", ["a", "0", "x" * 64, "a-b_c9"])
def test_plain_names_are_taken(catalog: Catalog, name: str) -> None:
    assert catalog.create(name, space(), SEGMENTATION).name == name


def test_a_folder_is_never_named_by_a_caller(catalog: Catalog, tmp_path: Path) -> None:
    catalog.create("birds", space(), SEGMENTATION)
    (folder,) = folders(tmp_path / "data")
    assert len(folder) == 32
    assert set(folder) <= set("0123456789abcdef")


def test_only_the_owner_may_look_inside(tmp_path: Path) -> None:
    with Catalog(tmp_path / "deep" / "data", SMALL) as catalog:
        catalog.create("birds", space(), SEGMENTATION)
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700


def test_a_name_is_free_again_after_deletion(catalog: Catalog, tmp_path: Path) -> None:
    first = catalog.create("birds", space(), SEGMENTATION)
    first.add([recording("a")], mode=WriteMode.UPSERT)
    with pytest.raises(AlreadyExists):
        catalog.create("birds", space(), SEGMENTATION)
    catalog.delete("birds")
    assert folders(tmp_path / "data") == set()
    for call in (
        lambda: catalog.get("birds"),
        lambda: catalog.delete("birds"),
        lambda: first.search(vector(1), 1),
        lambda: first.add([recording("b")], mode=WriteMode.UPSERT),
        lambda: first.delete(["a"]),
        first.compact,
    ):
        with pytest.raises(CollectionNotFound):
            call()
    assert catalog.create("birds", space(3), SEGMENTATION).count() == 0


def test_deletion_is_for_good(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("birds", space(), SEGMENTATION)
        catalog.delete("birds")
    with Catalog(tmp_path, SMALL) as catalog:
        assert catalog.names() == []


def test_leftovers_of_interrupted_work_are_removed(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("birds", space(), SEGMENTATION)
        kept = folders(tmp_path)
    orphan = tmp_path / "collections" / ("0" * 32)
    orphan.mkdir()
    (orphan / "rows.db").write_bytes(b"half")
    with Catalog(tmp_path, SMALL) as catalog:
        assert folders(tmp_path) == kept
        assert catalog.names() == ["birds"]


def test_a_failed_creation_leaves_nothing(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: Path) -> None:
        raise RuntimeError(directory.name)

    monkeypatch.setattr("embedsvc.index.catalog.sync_directory", fail)
    with pytest.raises(RuntimeError):
        catalog.create("birds", space(), SEGMENTATION)
    assert catalog.names() == []
    assert folders(tmp_path / "data") == set()
    monkeypatch.undo()
    catalog.create("birds", space(), SEGMENTATION)


def test_the_same_process_cannot_open_a_directory_twice(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryInUse) as caught:
        Catalog(tmp_path / "data", SMALL)
    assert str(os.getpid()) in caught.value.message
    assert str(tmp_path / "data") in caught.value.message


def test_another_process_cannot_open_it_either(catalog: Catalog, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from embedsvc.index import Catalog\n"
        "from embedsvc.errors import DataDirectoryInUse\n"
        "try: Catalog(Path(sys.argv[1]))\n"
        "except DataDirectoryInUse as error: print(error.facts['holder_pid'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(os.getpid())


def test_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("new", space(), SEGMENTATION)
        catalog.create("old", space(), SEGMENTATION)
    connection = apsw.Connection(str(tmp_path / "catalog.db"))
    connection.execute("UPDATE collection SET format = 4, space = '?' WHERE name = 'new'")
    connection.close()
    with Catalog(tmp_path, SMALL) as catalog:
        with pytest.raises(FailedPrecondition, match="has 4"):
            catalog.get("new")
        assert catalog.get("old").count() == 0


def test_newer_tables_are_refused_too(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("birds", space(), SEGMENTATION)
    (folder,) = folders(tmp_path)
    connection = apsw.Connection(str(tmp_path / "collections" / folder / "rows.db"))
    connection.execute("UPDATE meta SET value = 7 WHERE key = 'format'")
    connection.close()
    with Catalog(tmp_path, SMALL) as catalog, pytest.raises(FailedPrecondition, match="has 7"):
        catalog.get("birds")


def test_a_closed_catalog_refuses_and_can_be_closed_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SMALL)
    birds = catalog.create("birds", space(), SEGMENTATION)
    catalog.close()
    catalog.close()
    calls = (
        lambda: catalog.get("birds"),
        lambda: birds.search(vector(1), 1),
        lambda: birds.add([recording("a")], mode=WriteMode.UPSERT),
        lambda: catalog.create("bees", space(), SEGMENTATION),
    )
    for call in calls:
        with pytest.raises(Unavailable):
            call()


def test_a_destroyed_database_concerns_its_collection_only(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("bad", space(), SEGMENTATION)
        (bad,) = folders(tmp_path)
        catalog.create("good", space(), SEGMENTATION)
    (tmp_path / "collections" / bad / "rows.db").write_bytes(b"not a database" * 1_000)
    with Catalog(tmp_path, SMALL) as catalog:
        with pytest.raises(EmbedsvcError, match="damaged"):
            catalog.get("bad")
        assert catalog.get("good").count() == 0
        catalog.delete("bad")
        assert catalog.names() == ["good"]
