"""A collection that is searched through a transform of its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedsvc.errors import DataLoss, FailedPrecondition, TensorShape
from embedsvc.filters import Equals
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from embedsvc.transforms import Transform, fit
from embedsvc.types import TransformRecipe
from tests.index.builders import DIM, EAGER, SEGMENTATION, SMALL, recording, space, stored, vector

COUNT = 60
QUERIES = [vector(seed) for seed in range(900, 905)]
RECIPE = TransformRecipe(language="language", dim=5)


def add(collection: Collection, first: int, last: int) -> None:
    items = [
        recording(f"r{n}", n, 2, metadata={"language": ("deu", "fra", "pol")[n % 3]})
        for n in range(first, last)
    ]
    assert not collection.add(items, mode=WriteMode.UPSERT).failures


def fitted(collection: Collection, recipe: TransformRecipe = RECIPE) -> Transform:
    sample = collection.sample(10_000, recipe.language)
    transform = fit(sample, recipe)
    collection.adopt(transform, recipe, len(sample))
    return transform


def expected(
    transform: Transform | None, query: np.ndarray, numbers: range, count: int = 10
) -> list[tuple[str, float]]:
    """The best, computed plainly from the vectors as they are stored."""
    raw = {
        (f"r{n}", s): stored(segment.vector)
        for n in numbers
        for s, segment in enumerate(recording(f"r{n}", n, 2).segments)
    }
    matrix, asked = np.stack(list(raw.values())), query / np.linalg.norm(query)
    if transform is not None:
        matrix = transform(matrix).astype(np.float16).astype(np.float32)
        asked = transform(asked[None].astype(np.float32))[0]
    scores = matrix @ asked
    names = [name for name, _ in raw]
    return [(names[place], float(scores[place])) for place in np.argsort(-scores)[:count]]


def assert_searches(
    collection: Collection, transform: Transform | None, numbers: range = range(COUNT)
) -> None:
    for query in QUERIES:
        found = collection.search(query, 10)
        wanted = expected(transform, query, numbers)
        assert [hit.id for hit in found.hits] == [name for name, _ in wanted]
        assert np.allclose([hit.score for hit in found.hits], [s for _, s in wanted], atol=2e-6)


@pytest.fixture(params=[SMALL, EAGER], ids=["all in the tail", "with a base"])
def tuning(request: pytest.FixtureRequest) -> Tuning:
    chosen: Tuning = request.param
    return chosen


@pytest.fixture
def collection(tmp_path: Path, tuning: Tuning) -> Iterator[Collection]:
    with Catalog(tmp_path, tuning) as catalog:
        made = catalog.create("x", space(), SEGMENTATION)
        add(made, 0, COUNT)
        yield made


def test_a_search_goes_through_the_transform(collection: Collection) -> None:
    assert_searches(collection, None)
    assert_searches(collection, fitted(collection))


def test_what_is_stored_later_goes_through_it_too(collection: Collection) -> None:
    transform = fitted(collection)
    add(collection, COUNT, COUNT + 40)
    assert_searches(collection, transform, range(COUNT + 40))
    collection.compact()
    assert_searches(collection, transform, range(COUNT + 40))


def test_it_is_there_after_a_restart(tmp_path: Path, tuning: Tuning) -> None:
    with Catalog(tmp_path, tuning) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        add(collection, 0, COUNT)
        transform = fitted(collection)
        add(collection, COUNT, COUNT + 5)
    with Catalog(tmp_path, tuning) as catalog:
        assert_searches(catalog.get("x"), transform, range(COUNT + 5))


def test_it_can_be_fitted_anew_and_taken_away(collection: Collection) -> None:
    fitted(collection)
    second = fitted(collection, TransformRecipe(drop=1))
    assert_searches(collection, second)
    collection.adopt(None, TransformRecipe(), 0)
    assert_searches(collection, None)


def test_a_base_of_another_transform_is_not_believed(tmp_path: Path) -> None:
    """As after a crash between the write and the new base."""
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        add(collection, 0, COUNT)
        collection.compact()
        (folder,) = (tmp_path / "collections").iterdir()
        before = {path.name: path.read_bytes() for path in folder.glob("base-*")}
        current = (folder / "CURRENT").read_bytes()
        transform = fitted(collection, TransformRecipe(standardize=False))
    for path in folder.glob("base-*"):
        path.unlink()
    for name, content in before.items():
        (folder / name).write_bytes(content)
    (folder / "CURRENT").write_bytes(current)
    with Catalog(tmp_path, SMALL) as catalog:
        assert_searches(catalog.get("x"), transform)


def test_writes_go_on_while_it_is_fitted(collection: Collection) -> None:
    def write() -> None:
        for n in range(COUNT, 90):
            add(collection, n, n + 1)

    going = threading.Thread(target=write)
    going.start()
    transform = fitted(collection)
    for _ in range(4):
        transform = fitted(collection)
    going.join()
    assert_searches(collection, transform, range(90))


def test_filters_and_deletions_hold(collection: Collection) -> None:
    fitted(collection)
    collection.delete(["r0", "r3"])
    found = collection.search(QUERIES[0], 1_000, Equals("language", "deu"))
    assert {hit.id for hit in found.hits} == {f"r{n}" for n in range(6, COUNT, 3)}


def test_it_is_told(collection: Collection) -> None:
    assert collection.info().fitted is None
    transform = fitted(collection)
    told = collection.info().fitted
    assert told is not None
    assert (told.version, told.digest, told.dim) == (1, transform.digest, 5)
    assert (told.recipe, told.segments) == (RECIPE, 2 * COUNT)
    fitted(collection)
    again = collection.info().fitted
    assert again is not None
    assert again.version == 2


def test_stored_vectors_stay_as_they_were(collection: Collection) -> None:
    before = [segment.vector for segment in collection.vectors("r7")]
    fitted(collection)
    after = [segment.vector for segment in collection.vectors("r7")]
    assert np.array_equal(before, after)


def test_a_sample_is_spread_over_all(collection: Collection) -> None:
    sample = collection.sample(30, "language")
    assert len(sample) == 30
    assert set(sample.languages) == {"deu", "fra", "pol"}
    numbers = [int(name[1:]) for name in sample.recordings]
    assert min(numbers) < 3
    assert max(numbers) > COUNT - 3
    assert collection.sample(30, "nothing").languages == [""] * 30


def test_a_transform_of_another_space_is_refused(collection: Collection) -> None:
    other = Transform(np.zeros(DIM + 1, np.float32), np.eye(DIM + 1, dtype=np.float32))
    with pytest.raises(TensorShape, match="must take 8 dimensions, but takes 9"):
        collection.adopt(other, TransformRecipe(), 100)
    assert_searches(collection, None)


def test_too_few_segments_are_refused(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        add(collection, 0, 3)
        with pytest.raises(FailedPrecondition, match="at least 32"):
            fitted(collection)


def test_a_damaged_transform_is_told_and_searched_by_nobody(tmp_path: Path) -> None:
    with Catalog(tmp_path, SMALL) as catalog:
        collection = catalog.create("x", space(), SEGMENTATION)
        add(collection, 0, COUNT)
        fitted(collection)
        with collection._store.writer._connection as connection:
            connection.execute("UPDATE fitted SET crc = crc + 1")
    with Catalog(tmp_path, SMALL) as catalog:
        with pytest.raises(DataLoss, match="transform fails its checksum"):
            catalog.get("x").search(QUERIES[0], 3)
        catalog.get("x").adopt(None, TransformRecipe(), 0)
        assert_searches(catalog.get("x"), None)


def test_a_hit_is_explained_by_what_it_was_before(collection: Collection) -> None:
    """With no transform, the stored cosine is the score, and nothing is guessed."""
    plain = collection.search(QUERIES[0], 5, explain=True)
    assert not plain.query_languages
    for hit in plain.hits:
        assert hit.explanation is not None
        assert abs(hit.explanation.stored_cosine - hit.score) < 1e-5
        assert not hit.explanation.languages
    transform = fitted(collection)
    found = collection.search(QUERIES[0], 5, explain=True)
    unit = (QUERIES[0] / np.linalg.norm(QUERIES[0])).astype(np.float32)
    assert transform.centers is not None
    assert len(found.query_languages) == 3
    chances = transform.centers.posterior(unit[None])[0]
    assert abs(found.query_languages[0].probability - chances.max()) < 1e-5
    for hit in found.hits:
        assert hit.explanation is not None
        vectors = [segment.vector for segment in collection.vectors(hit.id)]
        cosines = [float(vector @ unit) for vector in vectors]
        assert min(abs(cosine - hit.explanation.stored_cosine) for cosine in cosines) < 1e-5
        assert abs(sum(each.probability for each in hit.explanation.languages) - 1) < 1e-3
    assert all(hit.explanation is None for hit in collection.search(QUERIES[0], 5).hits)
