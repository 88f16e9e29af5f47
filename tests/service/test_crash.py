"""A server that is killed while it writes has everything it answered for when it is back."""

import random
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from embedsvc.v1 import collection_pb2, search_pb2, types_pb2
from embedsvc.wire import tensors
from tests.service.calls import Stubs, adding, pcm, ready, recording, speech
from tests.service.processes import Server

DIM = 8
WRITERS = 3


def direction(name: str) -> np.ndarray:
    """A vector (DIM,) that only `name` has."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(DIM)


class Ledger:
    """What the server has answered for: recordings that are there, and those that are not."""

    def __init__(self) -> None:
        self.stored: set[str] = set()
        self.deleted: set[str] = set()
        self.writes = 0
        self._lock = threading.Lock()

    def note(self, stored: set[str], deleted: set[str]) -> None:
        """An answer has come."""
        with self._lock:
            self.writes += 1
            self.stored = (self.stored | stored) - deleted
            self.deleted |= deleted


def write(stubs: Stubs, ledger: Ledger, prefix: str) -> None:
    """Add recordings, and delete every third, until the server is gone."""
    for number in range(10_000):
        names = [f"{prefix}-{number}-{part}" for part in range(3)]
        sent = [ready(name, direction(name)[None], "t", by=prefix) for name in names]
        chosen = collection_pb2.DeleteRecordingsRequest.Ids(ids=names[:1])
        gone = collection_pb2.DeleteRecordingsRequest(collection="ready", ids=chosen)
        try:
            stubs.collections.AddRecordings(adding("ready", *sent), timeout=20)
            ledger.note(set(names), set())
            # From here on nobody knows until it is answered.
            ledger.stored.discard(names[0])
            stubs.collections.DeleteRecordings(gone, timeout=20)
            ledger.note(set(), {names[0]})
        except grpc.RpcError:
            return


def speak(stubs: Stubs, ledger: Ledger, prefix: str) -> None:
    """Add recordings of audio until the server is gone."""
    for number in range(10_000):
        name = f"{prefix}-{number}"
        sent = adding("spoken", recording(name, pcm(speech(0.3, number))))
        try:
            stubs.collections.AddRecordings(sent, timeout=20)
        except grpc.RpcError:
            return
        ledger.note({name}, set())


def check(stubs: Stubs, ready_ones: Ledger, spoken: Ledger) -> None:
    """Everything answered for is there, found by its vector; nothing deleted is."""
    for name, ledger in (("ready", ready_ones), ("spoken", spoken)):
        listed = set(ids(stubs, name))
        assert ledger.stored <= listed, f"lost {ledger.stored - listed}"
        assert not ledger.deleted & listed, f"came back {ledger.deleted & listed}"
    for name in sorted(ready_ones.stored)[:: max(1, len(ready_ones.stored) // 40)]:
        tensor = tensors.tensor_message(direction(name).astype(np.float32))
        query = search_pb2.QueryVector(space_fingerprint="t", vector=tensor)
        asked = search_pb2.SearchRequest(collection="ready", vector=query, top_k=3)
        hits = stubs.search.Search(asked).hits
        assert name in {hit.recording_id for hit in hits if hit.score > 0.999}


def ids(stubs: Stubs, name: str) -> Iterator[str]:
    """Ids of all recordings of a collection."""
    asked = collection_pb2.ListRecordingsRequest(collection=name, page_size=1_000)
    while True:
        page = stubs.collections.ListRecordings(asked)
        yield from (stored.id for stored in page.recordings)
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(25, marks=pytest.mark.slow)], ids=["a few", "many"]
)
def test_a_killed_server_has_lost_nothing_it_answered_for(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(0)
    ready_ones, spoken = Ledger(), Ledger()
    for number in range(rounds + 1):
        with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
            if number == 0:
                space = types_pb2.Space(fingerprint="t", dim=DIM)
                for made in (
                    collection_pb2.CreateCollectionRequest(name="ready", foreign_space=space),
                    collection_pb2.CreateCollectionRequest(name="spoken"),
                ):
                    stubs.collections.CreateCollection(made)
            check(stubs, ready_ones, spoken)
            if number == rounds:
                break
            threads = [
                threading.Thread(target=write, args=(stubs, ready_ones, f"{number}-{thread}"))
                for thread in range(WRITERS)
            ]
            threads.append(threading.Thread(target=speak, args=(stubs, spoken, f"{number}-spoken")))
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.3, 1.2))
            server.process.kill()
            for thread in threads:
                thread.join()
    writes = ready_ones.writes + spoken.writes
    assert writes > 10 * rounds
    print(f"{rounds} kills, {writes} answered writes, none lost")  # noqa: T201  # a measurement
