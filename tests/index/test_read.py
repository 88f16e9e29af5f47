"""A recording with its vectors, while others write."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedsvc.errors import InvalidArgument
from embedsvc.index import Catalog, Collection, WriteMode
from tests.index.builders import DIM, SEGMENTATION, SMALL, TWO, recording

TURNS = 30


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with Catalog(tmp_path, SMALL) as catalog:
        yield catalog.create("x", TWO, SEGMENTATION)


def test_a_recording_and_its_vectors_are_of_one_state_while_it_is_replaced(
    collection: Collection,
) -> None:
    """Of one segment and of three by turns, so that halves of two states would not fit."""
    over = threading.Event()

    def replace_again_and_again() -> None:
        for turn in range(TURNS):
            item = recording("r", turn, 1 + turn % 2 * 2, more=(5,))
            collection.add([item], mode=WriteMode.UPSERT)
            if turn % 5 == 0:
                collection.delete(["r"])
        over.set()

    writing = threading.Thread(target=replace_again_and_again)
    writing.start()
    seen = set()
    while not over.is_set():
        found = collection.read("r", [*TWO])
        if found is not None:
            assert found[1].shape == (len(found[0].spans), DIM + 5)
            seen.add(len(found[1]))
    writing.join()
    assert seen == {1, 3}


def test_what_is_not_there_is_none_and_a_space_that_is_none_is_refused(
    collection: Collection,
) -> None:
    assert collection.read("r") is None
    with pytest.raises(InvalidArgument, match="lower"):
        collection.read("r", ["lower"])
