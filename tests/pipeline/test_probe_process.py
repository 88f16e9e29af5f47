"""A process that trains: it tells, and however it ends, that is known."""

import os
import signal
from pathlib import Path

import pytest

from embedsvc.errors import DiskFull, InvalidArgument
from embedsvc.operations import Progress
from embedsvc.pipeline.probe_process import MOST_SAID, ProcessEnded, _Tail, train_apart
from embedsvc.pipeline.probe_training import Order
from embedsvc.probes import Examples, Gathering, Workplace
from embedsvc.probes.shelf import CARD_FILE
from tests.probes import toys
from tests.service.probing import trainers

SPACES = [toys.space("t")]


def workplace(folder: Path, drawn: Examples, **order: object) -> Workplace:
    with Gathering(folder, drawn.spaces) as gathering:
        gathering.add(drawn.vectors, drawn.labels, drawn.groups)
        gathering.finish()
    place = Workplace(folder)
    place.put_order(Order("x", toys.QUICK).facts("") | {"version": 1} | order)
    return place


def quiet(_: Progress) -> None:
    pass


def test_it_tells_and_leaves_a_probe(tmp_path: Path) -> None:
    place = workplace(tmp_path / "x", toys.drawn(SPACES))
    told: list[Progress] = []
    train_apart(place.folder, told.append)
    assert told[0] == Progress(0, 0, "starting")
    assert place.probe().info.labels == ("cat", "dog")


def test_what_cannot_be_learned_is_raised(tmp_path: Path) -> None:
    drawn = toys.drawn(SPACES)
    same = Examples(drawn.vectors, ("a",) * len(drawn.labels), drawn.groups, drawn.spaces)
    with pytest.raises(InvalidArgument, match="`labels` must be"):
        train_apart(workplace(tmp_path / "x", same).folder, quiet)


def test_the_trace_of_a_bug_is_for_the_log(tmp_path: Path) -> None:
    place = workplace(tmp_path / "x", toys.drawn(SPACES), recipe={"colour": 1})
    with pytest.raises(ProcessEnded, match="KeyError") as bug:
        train_apart(place.folder, quiet)
    assert "Traceback" in str(bug.value)
    assert bug.value.code == 1
    assert not bug.value.was_killed


def test_a_process_that_the_system_ends_is_told_from_a_bug(tmp_path: Path) -> None:
    """It is also the first that the system ends when memory is out."""
    place = workplace(tmp_path / "x", toys.drawn(SPACES, each=2_000))
    seen: list[str] = []

    def kill(progress: Progress) -> None:
        if progress.total and not seen:
            (child,) = trainers(os.getpid())
            seen.append(Path(f"/proc/{child}/oom_score_adj").read_text().strip())
            os.kill(child, signal.SIGKILL)

    with pytest.raises(ProcessEnded) as ended:
        train_apart(place.folder, kill)
    assert seen == ["1000"]
    assert ended.value.was_killed


def test_a_full_disk_is_told_by_the_process(tmp_path: Path) -> None:
    place = workplace(tmp_path / "x", toys.drawn(SPACES))
    (place.folder / CARD_FILE).symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="must have room"):
        train_apart(place.folder, quiet)


def test_of_what_is_said_the_end_is_kept() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        tail = _Tail(pipe)
        tail.start()
        with os.fdopen(write, "wb") as said:
            for number in range(40_000):
                said.write(b"%d\n" % number)
        tail.join(10)
        kept = tail.text()
    assert len(kept) <= MOST_SAID
    assert kept.endswith("39998\n39999")
