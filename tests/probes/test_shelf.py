"""Probes on disk: the newest is served, older ones are kept, and damage harms nobody else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DataLoss, FailedPrecondition, InvalidArgument, ProbeNotFound
from embedsvc.probes import Shelf, parsed, to_files
from embedsvc.probes.shelf import KEPT_VERSIONS, NAME
from tests.probes import toys

PETS = toys.probe()
OTHERS = toys.probe(labels=("oak", "elm"))


class Faults(list[str]):
    """What was told of damage."""

    def __call__(self, name: str, error: BaseException) -> None:
        self.append(name)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def shelf(tmp_path: Path, faults: Faults) -> Shelf:
    return Shelf(tmp_path / "probes", tmp_path / "model", faults)


def bundle(folder: Path, name: str) -> None:
    (folder / "model" / name).mkdir(parents=True)
    files = to_files(PETS)
    (folder / "model" / name / "probe.safetensors").write_bytes(files.tensors)
    (folder / "model" / name / "probe.json").write_bytes(files.card)


def test_an_empty_shelf_has_nothing(shelf: Shelf) -> None:
    assert shelf.list("", 10) == []
    with pytest.raises(ProbeNotFound, match="'pets' does not"):
        shelf.get("pets")


def test_the_newest_is_served_and_the_last_five_are_kept(shelf: Shelf) -> None:
    for number in range(1, 8):
        added = shelf.add("pets", PETS if number % 2 else OTHERS)
        assert (added.info.name, added.info.version) == ("pets", number)
    assert shelf.get("pets").info.version == 7
    assert shelf.get("pets@4").info.labels == OTHERS.info.labels
    assert shelf.get("pets@3").info.version == 7 - KEPT_VERSIONS + 1
    with pytest.raises(ProbeNotFound, match="kept are 3, 4, 5, 6, 7"):
        shelf.get("pets@2")


def test_another_shelf_on_the_folder_reads_the_same(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("pets", PETS)
    other = Shelf(tmp_path / "probes", None, Faults())
    assert other.get("pets").info == shelf.get("pets").info
    shelf.add("pets", OTHERS)
    assert other.get("pets").info.labels == OTHERS.info.labels


def test_whoever_has_a_probe_keeps_it_when_another_comes(shelf: Shelf) -> None:
    shelf.add("pets", PETS)
    held = shelf.get("pets")
    shelf.add("pets", OTHERS)
    shelf.delete("pets")
    vectors = toys.drawn([toys.space()]).vectors
    assert {said.labels[0] for said in held(vectors) if said.labels} == {"dog", "cat"}


def test_a_version_that_was_deleted_is_not_given_again(shelf: Shelf) -> None:
    for _ in range(3):
        shelf.add("pets", PETS)
    shelf.delete("pets@3")
    assert shelf.get("pets").info.version == 2
    assert shelf.add("pets", PETS).info.version == 4
    shelf.delete("pets@4")
    shelf.delete("pets@1")
    assert shelf.add("pets", PETS).info.version == 5


def test_a_probe_is_deleted_with_all_its_versions(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("pets", PETS)
    shelf.add("pets", PETS)
    shelf.delete("pets")
    assert shelf.list("", 10) == []
    assert list((tmp_path / "probes").iterdir()) == []
    with pytest.raises(ProbeNotFound):
        shelf.delete("pets")
    with pytest.raises(ProbeNotFound):
        shelf.delete("pets@2")


def test_those_of_the_model_are_hidden_by_one_of_that_name(shelf: Shelf, tmp_path: Path) -> None:
    bundle(tmp_path, "language")
    own = shelf.get("language")
    assert (own.info.version, shelf.is_bundled(own)) == (0, True)
    shelf.add("language", OTHERS)
    assert shelf.get("language").info.labels == OTHERS.info.labels
    assert shelf.get("language@0").info.labels == PETS.info.labels
    assert [each.info.version for each in shelf.list("", 10)] == [1]
    shelf.delete("language")
    assert shelf.get("language").info.version == 0
    for address in ("language", "language@0"):
        with pytest.raises(FailedPrecondition, match="came with the model"):
            shelf.delete(address)


def test_probes_are_listed_by_name_in_pages(shelf: Shelf, tmp_path: Path) -> None:
    bundle(tmp_path, "c")
    for name in ("b", "d", "a"):
        shelf.add(name, PETS)
    assert [each.info.name for each in shelf.list("", 2)] == ["a", "b"]
    assert [each.info.name for each in shelf.list("b", 9)] == ["c", "d"]


@pytest.mark.parametrize("file", ["probe.safetensors", "probe.json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, None])
def test_a_damaged_probe_is_told_of_and_harms_no_other(
    shelf: Shelf, tmp_path: Path, faults: Faults, file: str, content: bytes | None
) -> None:
    shelf.add("pets", PETS)
    shelf.add("trees", OTHERS)
    path = tmp_path / "probes" / "pets" / "1" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    fresh = Shelf(tmp_path / "probes", None, faults)
    for _ in range(2):
        with pytest.raises(DataLoss, match="pets@1"):
            fresh.get("pets")
    assert [each.info.name for each in fresh.list("", 10)] == ["trees"]
    assert faults == ["probes/pets@1"]
    assert fresh.add("pets", PETS).info.version == 2
    assert fresh.get("pets").info.version == 2


def test_the_card_does_not_say_what_a_probe_is_called(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("pets", PETS)
    shutil.copytree(tmp_path / "probes" / "pets", tmp_path / "probes" / "copied")
    assert shelf.get("copied").info.name == "copied"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "-a", "a" * 65, "a@x", "a@", "a@-1", "é"])
def test_a_name_is_never_a_path(shelf: Shelf, name: str) -> None:
    for call in (shelf.get, shelf.delete, lambda each: shelf.add(each, PETS)):
        with pytest.raises(InvalidArgument):
            call(name)


@given(st.text(max_size=80))
def test_what_is_no_name_is_refused(text: str) -> None:
    try:
        name, version = parsed(text)
    except InvalidArgument:
        assert not NAME.fullmatch(text)
    else:
        assert text == (name if version is None else f"{name}@{version}")


def test_drafts_of_before_are_removed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("pets", PETS)
    draft = tmp_path / "probes" / "pets" / ".draft-2"
    draft.mkdir()
    (draft / "probe.json").write_bytes(b"{")
    (tmp_path / "probes" / ".draft-gone-old").mkdir()
    assert shelf.get("pets").info.version == 1
    shelf.recover()
    assert sorted(each.name for each in (tmp_path / "probes" / "pets").iterdir()) == ["1"]
    assert not (tmp_path / "probes" / ".draft-gone-old").exists()


WRITER = """
import sys
from pathlib import Path
from embedsvc.probes import Shelf, from_files
from embedsvc.probes.shelf import CARD_FILE, TENSORS_FILE
source = Path(sys.argv[2])
probe = from_files((source / TENSORS_FILE).read_bytes(), (source / CARD_FILE).read_bytes())
shelf = Shelf(Path(sys.argv[1]), None, lambda *_: None)
while True:
    print(shelf.add("pets", probe).info.version, flush=True)
"""


def test_a_writer_that_is_killed_leaves_what_it_answered_for(tmp_path: Path) -> None:
    bundle(tmp_path, "source")
    paths = [tmp_path / "probes", tmp_path / "model" / "source"]
    asked = [sys.executable, "-c", WRITER, *map(str, paths)]
    answered = 0
    for round_ in range(3):
        with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(2 + round_)]
            time.sleep(0.003 * round_)
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout.readlines()
        answered = max(answered, *(json.loads(line) for line in lines if line.strip()))
        faults = Faults()
        shelf = Shelf(tmp_path / "probes", None, faults)
        shelf.recover()
        assert shelf.get("pets").info.version >= answered
        assert not faults


def test_an_old_version_goes_at_once_and_never_in_halves(
    shelf: Shelf, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends when the first of its files is gone."""

    def halfway(folder: Path, **_: object) -> None:
        for path in sorted(folder.glob("*.json")):
            path.unlink()

    for _ in range(KEPT_VERSIONS):
        shelf.add("pets", PETS)
    monkeypatch.setattr(shutil, "rmtree", halfway)
    shelf.add("pets", PETS)
    with pytest.raises(ProbeNotFound, match="kept are 2, 3, 4, 5, 6"):
        shelf.get("pets@1")
    assert shelf.get("pets").info.version == 6
    assert faults == []
    monkeypatch.undo()
    shelf.recover()
    assert shelf.get("pets@2").info.version == 2
