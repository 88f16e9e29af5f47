"""What is kept of a batch: all files or none, and each result from the moment it is there."""

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import AudioQuarantined, DiskFull, FailedPrecondition, InvalidArgument
from embedsvc.pipeline.batch_folder import MOST_TRIES, Batch, Gathering, Limits, Sent
from embedsvc.types import ChannelPolicy, PcmFormat, SampleFormat

LIMITS = Limits(100, 1_000, 100_000)

SENT = st.builds(
    Sent,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.none() | st.builds(PcmFormat, st.sampled_from(SampleFormat), st.integers(1, 192_000)),
    st.sampled_from(ChannelPolicy),
    st.booleans(),
)


@settings(max_examples=30, deadline=None)  # each is synchronized with the disk
@given(st.lists(SENT, min_size=1, max_size=6, unique_by=lambda sent: sent.id), st.data())
def test_what_was_sent_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Sent], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("batch") / "one"
    contents = [data.draw(st.lists(st.binary(max_size=50), max_size=3)) for _ in sent]
    with Gathering(folder, LIMITS) as gathering:
        for each, chunks in zip(sent, contents, strict=True):
            gathering.next(each)
            for chunk in chunks:
                gathering.write(chunk)
        gathering.finish()
    batch = Batch(folder)
    assert list(batch.files()) == sent
    kept = [batch.audio(place).read_bytes() for place in range(len(sent))]
    assert kept == [b"".join(chunks) for chunks in contents]


def test_a_block_that_fails_leaves_no_folder_and_takes_no_more(tmp_path: Path) -> None:
    gathering = Gathering(tmp_path / "one", LIMITS)
    with pytest.raises(InvalidArgument, match="twice"), gathering:
        _send(gathering, "a", "a")
    assert not (tmp_path / "one").exists()
    gathering.next(Sent("b"))  # of a thread that was still at it
    gathering.write(b"late")
    gathering.finish()
    assert not (tmp_path / "one").exists()
    with pytest.raises(FailedPrecondition, match="send them again"):
        Batch(tmp_path / "one").files()


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    with Gathering(tmp_path / "one", LIMITS) as gathering:
        _send(gathering, "a", "b")
        gathering.finish()
    return Batch(tmp_path / "one")


def test_notes_count_only_when_the_file_is_finished(batch: Batch) -> None:
    batch.begin(0)
    batch.transcript(0).write_bytes(b"half")
    assert batch.result(0) is None
    assert not batch.is_finished(0)
    batch.transcript(0).write_bytes(b"whole")
    batch.finish(0, {"failed": False, "audio_seconds": 2.0, "work_seconds": 0.5})
    result = batch.result(0)
    assert result is not None
    assert result.notes == b"whole"
    assert not batch.audio(0).exists()
    assert batch.audio(1).exists()
    batch.transcript(1).write_bytes(b"why")
    batch.finish(1, {"failed": True, "audio_seconds": 0.0, "work_seconds": 0.25})
    assert batch.counts() == {
        "files": 2,
        "failed": 1,
        "audio_seconds": 2.0,
        "work_seconds": 0.75,
    }


def test_a_file_is_begun_so_often_and_an_orderly_end_does_not_count(batch: Batch) -> None:
    for _ in range(10):
        batch.begin(0)
        batch.leave(0)
    for _ in range(MOST_TRIES):
        batch.begin(0)
    with pytest.raises(AudioQuarantined, match=f"ended {MOST_TRIES} times"):
        batch.begin(0)
    batch.begin(1)


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _gather(gathering: Gathering, *names: str) -> None:
    _send(gathering, *names)
    gathering.finish()


def _send(gathering: Gathering, *names: str) -> None:
    for name in names:
        gathering.next(Sent(name))
        gathering.write(name.encode())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    gathering = Gathering(tmp_path / "one", Limits(100, 10**6, 10**6))
    (gathering.folder / "0.audio").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="must have room"), gathering:
        _gather(gathering, "a")
    assert not (tmp_path / "one").exists()


def test_a_file_that_cannot_be_made_is_told_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(tmp_path / "one", LIMITS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _full)
        with pytest.raises(DiskFull), gathering:
            _gather(gathering, "a")
    assert not (tmp_path / "one").exists()


def test_a_full_disk_keeps_no_notes_and_no_count(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.transcript(0).symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        batch.refuse(0, b"why")
    monkeypatch.setattr(Path, "write_text", _full)
    batch.leave(0)  # of a batch that is cancelled, which is what its caller is to hear
    with pytest.raises(DiskFull):
        batch.begin(0)
