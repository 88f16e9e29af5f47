"""Simulated power cuts under the whole write path of a catalog."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedsvc.errors import CollectionNotFound
from embedsvc.files import replace_file, sync_directory
from embedsvc.index import Catalog, Collection, Tuning, WriteMode
from embedsvc.index.view import View
from embedsvc.types import Recording
from tests.index.builders import SEGMENTATION, SMALL, Oracle, assert_finds, recording, space, vector
from tests.index.faulty_disk import (
    RecordingDisk,
    Tape,
    after_power_cut,
    recorded,
    recorded_removal,
    recorded_replacement,
)

DIM, MORE = 64, 16
SPACES = {"first": space(DIM), "second": space(MORE)}

Step = dict[str, Recording]


def history(root: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Tape:
    """Fill a collection and delete from it; each state goes on tape when it is acknowledged."""
    chance = random.Random(seed)
    tape = Tape(root)
    _disk = RecordingDisk(f"recording-{seed}", tape)
    monkeypatch.setattr("embedsvc.index.database.sync_directory", recorded(tape, sync_directory))
    monkeypatch.setattr("embedsvc.index.catalog.sync_directory", recorded(tape, sync_directory))
    monkeypatch.setattr("embedsvc.index.base.sync_directory", recorded(tape, sync_directory))
    monkeypatch.setattr(
        "embedsvc.index.base.replace_file", recorded_replacement(tape, replace_file)
    )
    monkeypatch.setattr(Path, "unlink", recorded_removal(tape, Path.unlink))
    oracle = Oracle()
    with Catalog(root, Tuning(vfs=f"recording-{seed}", ballast_bytes=0)) as catalog:
        collection = catalog.create("x", SPACES, SEGMENTATION)
        collection._store.writer._connection.pragma("wal_autocheckpoint", 40)
        tape.acknowledge(dict(oracle.recordings))
        for n in range(120):
            batch = [
                recording(f"r{chance.randrange(60)}", 200 * n + j, 2, DIM, more=(MORE,))
                for j in range(3)
            ]
            collection.add(batch, mode=WriteMode.UPSERT)
            for item in batch:
                oracle.put(item)
            tape.acknowledge(dict(oracle.recordings))
            if n % 5 == 0:
                victim = chance.choice(list(oracle.recordings))
                collection.delete([victim])
                del oracle.recordings[victim]
                tape.acknowledge(dict(oracle.recordings))
            if n % 15 == 14:
                collection._store.tuning = replace(SMALL, accelerate_from=64)
                collection.compact()
                collection.accelerate()
                collection._store.tuning = SMALL
    return tape


def without_accelerator(collection: Collection) -> bool:
    """Make all answers exact; whether an accelerator was there, after a look at what it finds."""
    if any(each.base.proposals is None for each in collection._store.view.spaces):
        collection._store.writer.publish(_unaccelerated)
        return False
    found = collection.search(vector(1, DIM), 20)
    assert len(found.hits) == 20
    collection._store.writer.publish(_unaccelerated)
    exact = collection.search(vector(1, DIM), 20)
    assert len({hit.id for hit in found.hits} & {hit.id for hit in exact.hits}) > 10
    return True


def _unaccelerated(view: View) -> View:
    for there in view.spaces:
        view = view.having(there.on(there.base.along(None, None)))
    return view


def states(tape: Tape) -> list[Step]:
    return [event.note for event in tape.events if event.what == "ack"]


def check_cut(tape: Tape, cut: int, chance: random.Random, target: Path) -> bool:
    """After the cut there is what was acknowledged, or one write more, and nothing half.

    Whether an accelerator was left too.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    acknowledged: list[Any] = after_power_cut(tape, cut, chance, target)
    (target / "collections").mkdir(exist_ok=True)
    with Catalog(target, SMALL) as catalog:
        if not acknowledged:
            assert catalog.names() in ([], ["x"])
            return False
        collection = catalog.get("x")
        (integrity,) = collection._store.writer._connection.execute(
            "PRAGMA integrity_check"
        ).fetchall()
        assert integrity == ("ok",)
        held = [(item.id, item.digest) for item in collection.page(limit=1_000).recordings]
        known = states(tape)
        allowed = known[len(acknowledged) - 1 : len(acknowledged) + 1]
        (state,) = [
            state for state in allowed if held == [(id, item.digest) for id, item in state.items()]
        ][:1]
        accelerated = without_accelerator(collection)
        for place, dim in enumerate((DIM, MORE)):
            assert_finds(collection, Oracle(dict(state)), vector(cut, dim), 20, place=place)
        return accelerated


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: int, seed: int) -> None:
    tape = history(tmp_path / "real", monkeypatch, seed)
    monkeypatch.undo()
    chance = random.Random(seed)
    accelerated = 0
    for _ in range(cuts):
        cut = chance.randrange(1, len(tape.events) + 1)
        accelerated += check_cut(tape, cut, chance, tmp_path / "image")
    assert accelerated > cuts // 4


def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, monkeypatch, 100, 7)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 13))
def test_many_power_cuts_lose_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    run(tmp_path, monkeypatch, 300, seed)


def test_the_simulation_finds_a_missing_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the sync of the directory after the switch to WAL, acknowledged writes are lost."""
    tape = history(tmp_path / "real", monkeypatch, 5)
    monkeypatch.undo()
    tape.events = [event for event in tape.events if event.what != "sync directory"]
    chance = random.Random(5)
    lost = 0
    for _ in range(40):
        try:
            check_cut(
                tape,
                chance.randrange(len(tape.events) // 2, len(tape.events)),
                chance,
                tmp_path / "image",
            )
        except (AssertionError, ValueError, CollectionNotFound):
            lost += 1
    assert lost > 5
