"""Collections whose segments have vectors in several spaces, each searched on its own."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from embedsvc.errors import DataLoss, InvalidArgument, TensorShape
from embedsvc.index import Candidates, Catalog, Collection, Reach, Tuning, WriteMode
from embedsvc.transforms import Transform, fit
from embedsvc.types import Floats, TransformRecipe
from tests.index.builders import (
    DIM,
    EAGER,
    SEGMENTATION,
    SMALL,
    TWO,
    Oracle,
    assert_finds,
    coded,
    recording,
    stored,
    vector,
)

COUNT = 60
SENSE, SOUND = 0, 1
DIMS = (DIM, 5)
QUERIES = [[vector(900 + n, dim) for n in range(4)] for dim in DIMS]
RECIPE = TransformRecipe(dim=4)
UPSERT = WriteMode.UPSERT


def put(collection: Collection, oracle: Oracle, first: int, last: int) -> None:
    items = [recording(f"r{n}", n, 2, metadata={"n": n}, more=(5,)) for n in range(first, last)]
    assert not collection.add(items, mode=UPSERT).failures
    for item in items:
        oracle.put(item)


def assert_both(collection: Collection, oracle: Oracle) -> None:
    for place in (SENSE, SOUND):
        for query in QUERIES[place]:
            assert_finds(collection, oracle, query, 20, place=place)


def fitted(collection: Collection, space: str) -> Transform:
    transform = fit(collection.sample(10_000, space=space), RECIPE)
    collection.adopt(transform, RECIPE, 2 * COUNT, space=space)
    return transform


def scores(collection: Collection, place: int, query: Floats) -> list[float]:
    found = collection.search(query, 10, space=[*TWO][place])
    return [hit.score for hit in found.hits]


def expected(oracle: Oracle, place: int, query: Floats, transform: Transform | None) -> list[float]:
    """The best scores, computed plainly."""
    matrix = np.stack(
        [
            stored(segment.vectors[place])
            for item in oracle.recordings.values()
            for segment in item.segments
        ]
    )
    asked = query / np.linalg.norm(query)
    if transform is not None:
        matrix = transform(matrix).astype(np.float16).astype(np.float32)
        asked = transform(asked[None].astype(np.float32))[0]
    best: list[float] = np.sort(matrix @ asked)[::-1][:10].tolist()
    return best


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(params=[SMALL, EAGER], ids=["all in the tail", "with a base"])
def collection(
    tmp_path: Path, oracle: Oracle, request: pytest.FixtureRequest
) -> Iterator[Collection]:
    with Catalog(tmp_path, request.param) as catalog:
        made = catalog.create("x", TWO, SEGMENTATION)
        put(made, oracle, 0, COUNT)
        yield made


@pytest.fixture
def folder(tmp_path: Path, oracle: Oracle) -> Path:
    """A closed collection with bases and tails."""
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", TWO, SEGMENTATION)
        put(collection, oracle, 0, 30)
        collection.compact()
        put(collection, oracle, 30, COUNT)
    (folder,) = (tmp_path / "collections").iterdir()
    return folder


def bases(folder: Path, oracle: Oracle) -> list[int]:
    """Open it, compare with the oracle, and tell how many segments each base holds."""
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        held = [len(each.base) for each in collection._store.view.spaces]
        assert_both(collection, oracle)
        return held


def test_each_space_is_searched_on_its_own(collection: Collection, oracle: Oracle) -> None:
    assert_both(collection, oracle)
    assert_finds(collection, oracle, QUERIES[SENSE][0])
    found = collection.search(QUERIES[SENSE][0], 10)
    assert found == collection.search(QUERIES[SENSE][0], 10, space="sense")


def test_writes_deletions_and_compaction_reach_all(collection: Collection, oracle: Oracle) -> None:
    put(collection, oracle, 20, 40)
    put(collection, oracle, COUNT, COUNT + 30)
    collection.delete(["r1", "r25", f"r{COUNT + 2}"])
    for id in ("r1", "r25", f"r{COUNT + 2}"):
        del oracle.recordings[id]
    assert_both(collection, oracle)
    collection.compact()
    assert_both(collection, oracle)
    view = collection._store.view
    assert [view.dead(part) for part in collection._identity.parts] == [0, 0]


def test_an_unknown_space_is_told_with_those_there_are(collection: Collection) -> None:
    query = QUERIES[SENSE][0]
    calls: tuple[Callable[[], object], ...] = (
        lambda: collection.search(query, 1, space="scent"),
        lambda: collection.vectors("r1", "scent"),
        lambda: collection.sample(5, space="scent"),
        lambda: collection.whole(None, space="scent"),
        lambda: collection.adopt(None, RECIPE, 0, space="scent"),
        lambda: collection.transform("scent"),
        lambda: collection.space("scent"),
    )
    for call in calls:
        with pytest.raises(InvalidArgument, match=r"\(sense, sound\), but is 'scent'") as caught:
            call()
        assert caught.value.field == "space"


def test_a_query_has_the_dimensions_of_its_space(collection: Collection) -> None:
    with pytest.raises(TensorShape, match="must be 5 numbers"):
        collection.search(QUERIES[SENSE][0], 1, space="sound")


def test_a_recording_needs_a_vector_in_every_space(collection: Collection) -> None:
    good = recording("good", 1, more=(5,))
    (segment,) = good.segments
    faulty = [
        replace(good, id="bare", segments=(replace(segment, others=()),)),
        good,
        replace(good, id="wide", segments=(replace(segment, others=(vector(1, 6),)),)),
        replace(good, id="void", segments=(replace(segment, others=(np.zeros(5, np.float32),)),)),
        replace(good, id="more", segments=(replace(segment, others=(vector(1, 5),) * 2),)),
    ]
    before = collection.count()
    failures = collection.add(faulty, mode=UPSERT).failures
    assert sorted(failures) == [0, 2, 3, 4]
    assert failures[0].message.endswith("a vector of each of 2 spaces, but has 1")
    assert failures[2].field == "segments[0].vectors.sound"
    assert collection.count() == before + 1


def test_spaces_keep_names_and_order_over_a_restart(tmp_path: Path) -> None:
    back = dict(reversed(TWO.items()))
    with Catalog(tmp_path, SMALL) as catalog:
        catalog.create("x", back, SEGMENTATION)
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.get("x")
        assert list(collection.spaces.items()) == list(back.items())
        assert collection.space() == TWO["sound"]
        assert [each.name for each in collection.info().spaces] == ["sound", "sense"]
        assert collection.info().space == TWO["sound"]


def test_vectors_and_samples_are_those_of_the_space(collection: Collection, oracle: Oracle) -> None:
    for place, name in enumerate(TWO):
        segments = collection.vectors("r7", name)
        given = oracle.recordings["r7"].segments
        for segment, known in zip(segments, given, strict=True):
            assert segment.span == known.span
            assert np.array_equal(segment.vector, stored(known.vectors[place]))
        assert collection.sample(1_000, space=name).vectors.shape == (2 * COUNT, DIMS[place])
        assert collection.whole(None, space=name).vectors.shape == (2 * COUNT, DIMS[place])


def test_each_space_has_a_transform_of_its_own(collection: Collection, oracle: Oracle) -> None:
    transform = fitted(collection, "sound")
    for query in QUERIES[SENSE]:
        assert_finds(collection, oracle, query)
    for query in QUERIES[SOUND]:
        wanted = expected(oracle, SOUND, query, transform)
        assert np.allclose(scores(collection, SOUND, query), wanted, atol=2e-6)
    assert collection.transform() is None
    assert collection.transform("sound") is transform
    fitted(collection, "sound")
    fitted(collection, "sense")
    versions = [each.fitted.version if each.fitted else 0 for each in collection.info().spaces]
    assert versions == [1, 2]


def test_transforms_are_there_after_a_restart_and_go_one_by_one(
    folder: Path, oracle: Oracle
) -> None:
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        made = [fitted(collection, name) for name in TWO]
        put(collection, oracle, COUNT, COUNT + 5)
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        for place, transform in enumerate(made):
            for query in QUERIES[place]:
                wanted = expected(oracle, place, query, transform)
                assert np.allclose(scores(collection, place, query), wanted, atol=2e-6)
        collection.adopt(None, RECIPE, 0, space="sense")
        assert_finds(collection, oracle, QUERIES[SENSE][0])
        wanted = expected(oracle, SOUND, QUERIES[SOUND][0], made[SOUND])
        assert np.allclose(scores(collection, SOUND, QUERIES[SOUND][0]), wanted, atol=2e-6)
        with pytest.raises(TensorShape, match="must take 8 dimensions, but takes 5"):
            collection.adopt(made[SOUND], RECIPE, 0, space="sense")


def test_a_damaged_transform_is_told_with_its_space(folder: Path, oracle: Oracle) -> None:
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        made = [fitted(collection, name) for name in TWO]
    connection = apsw.Connection(str(folder / "rows.db"))
    connection.execute("UPDATE fitted SET crc = crc + 1 WHERE space = 1")
    connection.close()
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        with pytest.raises(DataLoss, match="transform of space 'sound' fails its checksum"):
            collection.search(QUERIES[SENSE][0], 3)
        collection.adopt(None, RECIPE, 0, space="sound")
        assert_finds(collection, oracle, QUERIES[SOUND][0], place=SOUND)
        wanted = expected(oracle, SENSE, QUERIES[SENSE][0], made[SENSE])
        assert np.allclose(scores(collection, SENSE, QUERIES[SENSE][0]), wanted, atol=2e-6)


def test_work_on_one_space_holds_up_nothing_in_the_other(
    collection: Collection, oracle: Oracle
) -> None:
    """As long as one is moved or rebuilt, the other is searched, written, fitted and rebuilt."""
    done = threading.Event()

    def work() -> None:
        fitted(collection, "sound")
        collection._upkeeps[SOUND].compact()
        put(collection, oracle, COUNT, COUNT + 3)
        done.set()

    with collection._upkeeps[SENSE]._compacting:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        assert done.wait(20)
        assert_finds(collection, oracle, QUERIES[SENSE][1])
    worker.join()


def test_a_hit_is_explained_in_the_space_it_was_found_in(collection: Collection) -> None:
    fitted(collection, "sound")
    query = QUERIES[SOUND][0]
    found = collection.search(query, 3, space="sound", explain=True)
    for hit in found.hits:
        (held,) = (each for each in collection.vectors(hit.id, "sound") if each.span == hit.span)
        cosine = held.vector @ query / np.linalg.norm(query)
        assert hit.explanation is not None
        assert abs(hit.explanation.stored_cosine - cosine) < 1e-5


def test_codes_are_looked_for_where_the_space_is_near(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", TWO, SEGMENTATION, b"a recipe")
        items = [replace(recording(f"r{n}", n, more=(5,)), codes=coded(n)) for n in range(9)]
        collection.add(items, mode=UPSERT)
        for place, name in enumerate(TWO):
            query = items[4].segments[0].vectors[place]
            wanted = Candidates(1, Reach(10, 0), space=name)
            found, coding = collection.codes.near(query, wanted)
            assert [hit.id for hit in found.hits] == ["r4"]
            assert len(list(coding.runs)) == 1


QUICK = Tuning(tail_limit=64, dead_floor=8, columns_from=16, accelerate_from=10**6, ballast_bytes=0)


def test_each_space_has_an_accelerator_tuned_on_its_own(tmp_path: Path) -> None:
    with Catalog(tmp_path, QUICK) as catalog:
        collection = catalog.create("x", TWO, SEGMENTATION)
        put(collection, Oracle(), 0, 300)
        collection.compact()
        first, second = (each.base for each in collection._store.view.spaces)
        assert first.columns is second.columns is not None
        collection._store.tuning = replace(QUICK, accelerate_from=128)
        collection.accelerate()
        tuned = [each.base.tuned for each in collection._store.view.spaces]
        assert [each.accelerator.index.d for each in tuned if each and each.accelerator] == [8, 5]
        assert {each.index.recipe for each in collection.info().spaces if each.index} == {
            "hnsw32-sq8"
        }
    with Catalog(tmp_path, QUICK) as catalog:
        spaces = catalog.get("x")._store.view.spaces
        assert all(each.base.proposals is not None for each in spaces)


@pytest.mark.parametrize(("place", "whole"), [("", [0, 60]), ("space-1", [60, 0])])
@pytest.mark.parametrize("name", ["CURRENT", "base-*"])
def test_a_damaged_or_lost_base_is_that_of_one_space(
    folder: Path, oracle: Oracle, place: str, whole: list[int], name: str
) -> None:
    assert bases(folder, oracle) == [60, 60]
    (path,) = (folder / place).glob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    assert bases(folder, oracle) == whole
    path.unlink(missing_ok=True)
    assert bases(folder, oracle) == whole


def test_a_lost_folder_of_a_space_is_made_again(folder: Path, oracle: Oracle) -> None:
    shutil.rmtree(folder / "space-1")
    assert bases(folder, oracle) == [60, 0]


def test_the_base_of_another_space_is_not_believed(tmp_path: Path) -> None:
    twins = {"one": TWO["sense"], "other": TWO["sense"]}
    oracle = Oracle()
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", twins, SEGMENTATION)
        items = [recording(f"r{n}", n, more=(DIM,)) for n in range(40)]
        collection.add(items, mode=UPSERT)
        collection.compact()
    for item in items:
        oracle.put(item)
    (folder,) = (tmp_path / "collections").iterdir()
    for path in [path for path in folder.iterdir() if path.name.startswith(("base-", "CURRENT"))]:
        shutil.copy(path, folder / "space-1")
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.get("x")
        assert [len(each.base) for each in collection._store.view.spaces] == [40, 0]
        for place in (0, 1):
            assert_finds(collection, oracle, QUERIES[SENSE][0], place=place)


@pytest.mark.parametrize(
    "how",
    [
        "SET data = CAST(substr(data, 1, 16) || randomblob(10) AS BLOB)",
        "SET data = substr(data, 1, 16)",
    ],
    ids=["of other numbers", "cut off"],
)
def test_damage_in_one_space_is_told_and_can_be_deleted(
    folder: Path, oracle: Oracle, how: str
) -> None:
    connection = apsw.Connection(str(folder / "rows.db"))
    connection.execute(f"UPDATE vector {how} WHERE sid = 101")  # of r50
    connection.close()
    with Catalog(folder.parent.parent, SMALL) as catalog:
        collection = catalog.get("x")
        for place, name in enumerate(TWO):
            with pytest.raises(DataLoss, match="vectors of 'r50' fail"):
                collection.search(QUERIES[place][0], 1, space=name)
        collection.delete(["r50"])
        del oracle.recordings["r50"]
        assert_both(collection, oracle)


def test_nothing_deleted_is_left_on_disk_after_compaction(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", TWO, SEGMENTATION)
        items = [recording(id, n, 1, more=(5,)) for n, id in enumerate(["secret", "b"])]
        collection.add(items, mode=UPSERT)
        collection.compact()
        secrets = [collection.vectors("secret", name)[0].vector for name in TWO]
        collection.delete(["secret"])
        collection.compact()
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret.astype("<f2").tobytes() not in left
