"""Recordings as examples, in collections that are written to meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.index import Catalog, Collection, WriteMode
from embedsvc.operations import Progress
from embedsvc.pipeline.labelled import gather
from embedsvc.probes import Examples, Workplace
from embedsvc.types import Recording
from tests.index.builders import DIM, SEGMENTATION, SMALL, TWO, recording, stored

COUNT = 4


def item(number: int, seed: int, segments: int, **labels: str) -> Recording:
    more = {"kind": f"k{number % 2}"} | labels
    return recording(f"r{number}", seed, segments, metadata=more, more=(5,))


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        made = catalog.create("x", TWO, SEGMENTATION)
        made.add([item(n, n, 2) for n in range(COUNT)], mode=WriteMode.UPSERT)
        yield made


def gathered(
    collection: Collection, folder: Path, meanwhile: Callable[[int], object] = lambda _: None
) -> Examples:
    """What is gathered when `meanwhile` happens before the vectors of each recording are read."""
    request = {
        "filter": "",
        "label_field": "kind",
        "group_field": "speaker",
        "spaces": ["sense", "sound"],
    }

    def tell(progress: Progress) -> None:
        assert progress.total == COUNT
        meanwhile(progress.done)

    gather(collection, tuple(TWO.values()), request, folder, tell, lambda _: None)
    return Workplace(folder).examples()


def test_vectors_of_several_spaces_stand_side_by_side(
    collection: Collection, tmp_path: Path
) -> None:
    found = gathered(collection, tmp_path / "work")
    assert found.labels == ("k0", "k0", "k1", "k1") * 2
    segment = item(1, 1, 2).segments[1]
    expected = np.concatenate([stored(vector) for vector in segment.vectors])
    np.testing.assert_array_equal(found.vectors[3], expected)
    assert found.vectors.shape == (2 * COUNT, DIM + 5)


def test_a_recording_that_is_deleted_meanwhile_is_passed_by(
    collection: Collection, tmp_path: Path
) -> None:
    found = gathered(
        collection, tmp_path / "work", lambda done: done == 1 and collection.delete(["r2"])
    )
    assert found.labels == ("k0", "k0", "k1", "k1", "k1", "k1")


def test_a_recording_that_is_replaced_meanwhile_lends_its_label_to_no_other_vectors(
    collection: Collection, tmp_path: Path
) -> None:
    def replace(done: int) -> None:
        if done == 1:
            collection.add([item(2, 90, 3, kind="other")], mode=WriteMode.UPSERT)

    found = gathered(collection, tmp_path / "work", replace)
    assert found.labels == ("k0", "k0", "k1", "k1", "k1", "k1")


def test_without_any_label_there_is_nothing_to_learn(
    collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(FailedPrecondition, match="'kind'"):
        gathered(
            collection,
            tmp_path / "work",
            lambda done: not done and collection.delete([f"r{n}" for n in range(COUNT)]),
        )
    assert not (tmp_path / "work").exists()
