import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DataLoss, FailedPrecondition, SpaceMismatch
from embedsvc.feature_files import Spool
from embedsvc.types import Output, Pooling
from tests.feature_files.made import DIM, contents, entry, facts, fill, output, space

COUNTS = [2, 0, 1, 3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "partial"


def numbers(folder: Path) -> list[float]:
    """The first number of every row, which tells which it is."""
    made = contents(folder, COUNTS)
    assert made.spans is not None
    assert len(made.spans) == len(made.rows[""])
    return [float(row[0]) for row in made.rows[""]]


def test_what_was_gathered_comes_back_in_order(folder: Path) -> None:
    made = contents(folder, COUNTS, {"n": [10, 11, 12, 13]})
    assert [each.path for each in made.entries] == ["dir/0.wav", "dir/2.wav", "dir/3.wav"]
    assert [(each.path, each.error) for each in made.failures] == [("dir/1.wav", "no sound")]
    assert made.offsets.tolist() == [0, 2, 3, 6]
    assert made.columns == {"n": [10, 12, 13]}
    assert made.rows[""].shape == (6, DIM)
    assert made.rows[""][:, 0].tolist() == [0, 1, 2, 3, 4, 5]


@given(done=st.integers(0, 4), torn=st.binary(max_size=40), line=st.text("ab{}:", max_size=9))
def test_a_run_that_was_killed_goes_on_with_what_its_journal_names(
    tmp_path_factory: pytest.TempPathFactory, done: int, torn: bytes, line: str
) -> None:
    folder = tmp_path_factory.mktemp("killed") / "partial"
    with Spool(folder, {}, facts()) as spool:
        fill(spool, COUNTS[:done])
        known = spool.facts is not None
    if known:
        for name in ("rows-0", "spans"):
            with (folder / name).open("ab") as file:
                file.write(torn)
    with (folder / "journal").open("ab") as file:
        file.write(line.encode())
    with Spool(folder, {}, facts()) as spool:
        assert [each.path for each in spool.entries] == [f"dir/{n}.wav" for n in range(done)]
    assert numbers(folder) == [0, 1, 2, 3, 4, 5]


def test_a_line_without_its_end_does_not_count(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        fill(spool, COUNTS)
    journal = folder / "journal"
    journal.write_bytes(journal.read_bytes()[:-1])
    with Spool(folder, {}, facts()) as spool:
        assert len(spool.entries) == 3
    assert numbers(folder) == [0, 1, 2, 3, 4, 5]


def test_rows_of_a_recording_that_failed_in_its_middle_are_taken_back(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        fill(spool, [2])
        spool.append([output(7, 5)], output(7, 5).segments)
        spool.finish(type(entry(1))(**{**vars(entry(1)), "error": "torn", "reason": "X"}))
        spool.append([output(2, 1)], output(2, 1).segments)
        spool.finish(type(entry(2))(**{**vars(entry(2)), "rows": 1}))
        made = spool.contents({})
        assert made.rows[""][:, 0].tolist() == [0, 1, 2]
        assert made.offsets.tolist() == [0, 2, 3]


def test_another_request_does_not_go_on_with_it(folder: Path) -> None:
    Spool(folder, {"layer": 1}, facts()).close()
    with Spool(folder, {"layer": 3}, facts()) as spool:  # nothing was done yet
        fill(spool, [0, 1])
    with pytest.raises(FailedPrecondition, match="other flags; --restart"):
        Spool(folder, {"layer": 2}, facts())
    Spool.forget(folder)
    assert not folder.exists()
    Spool(folder, {"layer": 2}, facts()).close()


def test_other_files_do_not_go_on_with_it(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        fill(spool, [1, 1])
        spool.check_begins([entry(0), entry(1), entry(2)])
        with pytest.raises(FailedPrecondition, match="has 2 files, but 1"):
            spool.check_begins([entry(0)])
        with pytest.raises(FailedPrecondition, match=r"dir/1\.wav where dir/2\.wav"):
            spool.check_begins([entry(0), entry(2)])
        changed = type(entry(1))(**{**vars(entry(1)), "modified": 99})
        with pytest.raises(FailedPrecondition, match="changed"):
            spool.check_begins([entry(0), changed])


def test_a_second_process_is_refused(folder: Path) -> None:
    with Spool(folder, {}, facts()):
        code = (
            "from pathlib import Path; from embedsvc.feature_files import Facts, Spool\n"
            "from embedsvc.types import DType\n"
            f"Spool(Path({str(folder)!r}), {{}}, Facts({{}}, DType.FLOAT32))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "`--output` must not be in use" in ended.stderr
    Spool(folder, {}, facts()).close()


def test_vectors_of_another_space_are_refused(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        fill(spool, [1])
        first = output(0, 1)
        other = Output("", space(fingerprint="f11"), first.array, first.span, first.segments)
        with pytest.raises(SpaceMismatch, match="f00, but vectors are now of f11"):
            spool.append([other], other.segments)


def test_outputs_of_unequal_rows_are_refused(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        pair = [output(0, 1, "a"), output(0, 4, "b", Pooling.NONE)]
        with pytest.raises(FailedPrecondition, match="equally many rows"):
            spool.append(pair, pair[0].segments)


def test_rows_that_the_disk_lost_are_noticed(folder: Path) -> None:
    with Spool(folder, {}, facts()) as spool:
        fill(spool, COUNTS)
    with (folder / "rows-0").open("r+b") as file:
        file.truncate(12)
    with pytest.raises(DataLoss, match="lost rows"):
        Spool(folder, {}, facts())


def test_frames_have_no_spans(folder: Path) -> None:
    made = contents(folder, [4, 2], pooling=Pooling.NONE)
    assert made.spans is None
    assert not (folder / "spans").exists()
    assert json.loads(made.facts.to_json())["frame_rate"] == 50


def test_a_run_in_which_all_failed_has_nothing_to_write(folder: Path) -> None:
    with pytest.raises(FailedPrecondition, match="every file failed"):
        contents(folder, [0, 0])


def test_numbers_are_kept_as_asked(folder: Path) -> None:
    from embedsvc.types import DType

    made = contents(folder, [1], dtype=DType.FLOAT16)
    assert made.rows[""].dtype == np.float16
    assert (folder / "rows-0").stat().st_size == 2 * DIM
