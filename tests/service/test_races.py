"""Answers that need several looks at what another caller writes meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from embedsvc.v1 import collection_pb2, types_pb2
from tests.service.calls import Stubs, adding, ready
from tests.service.conftest import NewCollection

READS = 200


@contextmanager
def meanwhile(write: Callable[[int], object]) -> Iterator[None]:
    """Another caller writes again and again until the end of the block."""
    over = threading.Event()

    def work() -> None:
        turn = 0
        while not over.is_set():
            write(turn)
            turn += 1

    writing = threading.Thread(target=work)
    writing.start()
    try:
        yield
    finally:
        over.set()
        writing.join()


def test_recordings_are_given_with_their_own_vectors_or_not_at_all(
    stubs: Stubs, new_collection: NewCollection
) -> None:
    """Each is of one segment and of three by turns, and sometimes gone."""
    name = new_collection(foreign_space=types_pb2.Space(fingerprint="t", dim=4))
    ids = [f"r{number}" for number in range(20)]

    def write(turn: int) -> None:
        vectors = np.ones((1 + turn % 2 * 2, 4), np.float32)
        sent = [ready(each, vectors, "t", turn=turn) for each in ids]
        stubs.collections.AddRecordings(adding(name, *sent), timeout=30)
        if turn % 3 == 2:
            gone = collection_pb2.DeleteRecordingsRequest(collection=name)
            gone.ids.ids.extend(ids)
            stubs.collections.DeleteRecordings(gone, timeout=30)

    asked = collection_pb2.GetRecordingsRequest(collection=name, ids=ids, include_vectors=True)
    with meanwhile(write):
        for _ in range(READS):
            reply = stubs.collections.GetRecordings(asked, timeout=30)
            there = [each.id for each in reply.recordings]
            assert sorted([*there, *reply.missing_ids]) == sorted(ids)
            for each in reply.recordings:
                assert list(each.vectors.shape) == [len(each.spans), 4]
                assert len(each.spans) == 1 + each.metadata["turn"].integer % 2 * 2
