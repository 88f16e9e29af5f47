"""The folder of a training: complete or not there, and read as it was written."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from embedsvc.errors import DiskFull, InvalidArgument, TensorShape
from embedsvc.probes import Gathering, Workplace
from embedsvc.probes import workplace as module
from embedsvc.probes.workplace import MOST_TEXT
from tests.probes import toys

READ = [toys.space("a"), toys.space("b", 3)]


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    drawn = toys.drawn(READ)
    labels = [f'{label}\n "ü\udcff' for label in drawn.labels]
    with Gathering(tmp_path / "x", READ) as gathering:
        for start in range(0, 80, 30):
            part = slice(start, start + 30)
            assert drawn.baseline is not None
            gathering.add(drawn.vectors[part], labels[part], [], drawn.baseline[part])
        assert not (tmp_path / "x").exists()
        gathering.finish()
    place = Workplace(tmp_path / "x")
    assert place.is_complete
    found = place.examples()
    np.testing.assert_array_equal(found.vectors, drawn.vectors)
    np.testing.assert_array_equal(found.baseline, drawn.baseline)
    assert found.labels == tuple(labels)
    assert found.groups == ("",) * 80
    assert found.spaces == tuple(READ)
    assert place.background() is None
    place.put_background(drawn.vectors[:3])
    np.testing.assert_array_equal(place.background(), drawn.vectors[:3])
    place.put_background(None)
    assert place.background() is None
    place.put(toys.probe())
    assert place.probe().info.labels == ("cat", "dog")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(gathering: Gathering) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, gathering._files["vectors.f32"].fileno())
        os.close(full)
        drawn = toys.drawn(READ)
        gathering.add(drawn.vectors, drawn.labels, drawn.groups)
        gathering.finish()

    with pytest.raises(DiskFull), Gathering(tmp_path / "x", READ) as gathering:
        fill(gathering)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_of_whatever_is_put(tmp_path: Path) -> None:
    for name in ("order.json", "probe.json"):
        (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="must have room"):
        Workplace(tmp_path).put(toys.probe())
    with pytest.raises(DiskFull, match="must have room"):
        Workplace(tmp_path).put_order({"name": "x"})


def test_what_is_not_finished_is_not_there(tmp_path: Path) -> None:
    drawn = toys.drawn(READ)
    with Gathering(tmp_path / "x", READ) as gathering:
        gathering.add(drawn.vectors, drawn.labels, drawn.groups)
    assert list(tmp_path.iterdir()) == []
    assert not Workplace(tmp_path / "x").is_complete


def test_what_is_finished_goes_if_the_block_fails_after_that(tmp_path: Path) -> None:
    drawn = toys.drawn(READ)
    with suppress(RuntimeError), Gathering(tmp_path / "x", READ) as gathering:
        gathering.add(drawn.vectors, drawn.labels, drawn.groups)
        gathering.finish()
        assert Workplace(tmp_path / "x").is_complete
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_sender_that_leaves_while_a_thread_writes_leaves_nothing(tmp_path: Path) -> None:
    drawn = toys.drawn(READ)
    writing = threading.Event()

    def write(gathering: Gathering) -> None:
        for _ in range(50):
            gathering.add(drawn.vectors, drawn.labels, drawn.groups)
            writing.set()
        gathering.finish()

    for at in range(10):
        writing.clear()
        with ThreadPoolExecutor(1) as pool:
            with suppress(TimeoutError), Gathering(tmp_path / f"{at}", READ) as gathering:
                written = pool.submit(write, gathering)
                assert writing.wait(10)
                raise TimeoutError
            written.result()
        assert list(tmp_path.iterdir()) == []


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = toys.drawn(READ)
    monkeypatch.setattr(module, "MOST_EXAMPLES", 100)
    with Gathering(tmp_path / "x", READ) as gathering:
        gathering.add(drawn.vectors, drawn.labels, drawn.groups)
        with pytest.raises(InvalidArgument, match="at most 100") as error:
            gathering.add(drawn.vectors, drawn.labels, drawn.groups)
    assert error.value.field == "examples"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    drawn = toys.drawn(READ)
    labels, groups = list(drawn.labels), list(drawn.groups)
    with Gathering(tmp_path / "x", READ) as gathering:
        with pytest.raises(TensorShape, match="side by side"):
            gathering.add(drawn.vectors[:, :5], labels, groups)
        with pytest.raises(InvalidArgument, match="`labels` must be one for each"):
            gathering.add(drawn.vectors, labels[:-1], groups)
        with pytest.raises(InvalidArgument, match="characters"):
            gathering.add(drawn.vectors, ["x" * (MOST_TEXT + 1), *labels[1:]], groups)
        with pytest.raises(TensorShape, match="finite"):
            gathering.add(drawn.vectors * np.inf, labels, groups)
        gathering.add(drawn.vectors, labels, groups)
        with pytest.raises(TensorShape, match="`baseline`"):
            gathering.add(drawn.vectors, labels, groups, drawn.baseline)
