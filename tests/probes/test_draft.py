"""A probe on its way to the shelf: whatever ends the process, it arrives once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedsvc.errors import DiskFull
from embedsvc.probes import Shelf, Workplace, to_files
from embedsvc.probes import draft as module
from tests.probes import toys

TRAINED = toys.probe()
OTHER = toys.probe(labels=("oak", "elm"))

WRITER = """
import json, os, shutil, signal, sys
from itertools import count
from pathlib import Path
from embedsvc.errors import ProbeNotFound
from embedsvc.probes import Shelf, Workplace, from_files

home = Path(sys.argv[1])

def probe(name):
    return from_files((home / f"{name}.tensors").read_bytes(), (home / f"{name}.card").read_bytes())

trained, other = probe("trained"), probe("other")

def shelf(folder):
    return Shelf(folder, None, lambda *_: None)

def arrived(folder):
    there = [each.name for each in (folder / "pets").glob("[0-9]")]
    return sum(shelf(folder).get(f"pets@{each}").info.labels[0] == "cat" for each in there)

def add(folder):
    draft = Workplace(folder / ".work" / "x").draft
    shelf(folder).recover()
    return draft.resume() or shelf(folder).add("pets", trained, draft).info.version

def killed(folder, step):
    seen = count(1)
    def hook(event, arguments):
        if event == "open" or event.startswith(("os.", "shutil.")):
            if next(seen) == step:
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if not child:
        sys.addaudithook(hook)
        add(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0

def left():
    for step in count(1):
        folder = home / f"{step}"
        work = folder / ".work" / "x"
        work.mkdir(parents=True)
        shelf(folder).add("pets", other)
        if not killed(folder, step):
            return
        if (work / "draft").exists() and (work / "version").exists():
            # The next process finds both, and is killed as well.
            for again in count(1):
                other_folder = home / f"{step}-{again}"
                shutil.copytree(folder, other_folder)
                if not killed(other_folder, again):
                    break
                yield other_folder
        yield folder

for killed_folder in left():
    before = arrived(killed_folder)
    for meanwhile in ("nothing", "imported", "deleted"):
        folder = killed_folder.with_name(f"{killed_folder.name}-{meanwhile}")
        shutil.copytree(killed_folder, folder)
        if meanwhile == "imported":
            shelf(folder).add("pets", other)
        elif meanwhile == "deleted":
            shelf(folder).delete("pets")
        version = add(folder)
        assert version == add(folder), "and once more"
        facts = {"before": before, "after": arrived(folder), "version": version}
        print(json.dumps(facts | {"meanwhile": meanwhile}))
"""


def steps(home: Path) -> list[dict[str, Any]]:
    """What there was after a kill before each use of the disk, and after going on from there.

    In between others do nothing, or import a probe of that name, or delete all of them. Where the
    files and the note are both there, the process that goes on is killed once more.
    """
    for name, probe in (("trained", TRAINED), ("other", OTHER)):
        files = to_files(probe)
        (home / f"{name}.tensors").write_bytes(files.tensors)
        (home / f"{name}.card").write_bytes(files.card)
    asked = [sys.executable, "-W", "error", "-c", WRITER, str(home)]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_it_arrives_once_wherever_the_process_is_killed(tmp_path: Path) -> None:
    found = steps(tmp_path)
    assert len(found) > 60
    assert {each["before"] for each in found} == {0, 1}, "killed before it arrived, and after"
    new = {"nothing": 2, "imported": 3, "deleted": 1}
    for each in found:
        meanwhile = each["meanwhile"]
        is_gone = meanwhile == "deleted" and each["before"]
        assert each["after"] == (0 if is_gone else 1), each
        assert each["version"] == (2 if each["before"] else new[meanwhile]), each


def test_a_disk_that_fails_at_the_last_moment_does_not_let_it_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, None, lambda *_: None)
    draft = Workplace(tmp_path / ".work" / "x").draft
    (tmp_path / ".work" / "x").mkdir(parents=True)

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", full)
        with pytest.raises(DiskFull):
            shelf.add("pets", TRAINED, draft)
    assert draft.resume() is None
    assert shelf.list("", 9) == []
    assert shelf.add("pets", TRAINED, draft).info.version == 1
    assert draft.resume() == 1
