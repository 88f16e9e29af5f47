"""Free disk that is left to others, on disks of any size and however it is asked for."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedsvc.errors import DiskFull
from embedsvc.files import LOOK_BYTES, SMALL_DISK, Reserve

BLOCK = 4096
MEBIBYTE = 1 << 20


class Disk:
    """A file system of so many blocks, as the system tells of it."""

    def __init__(self, blocks: int, used: int = 0) -> None:
        self.blocks = blocks
        self.free = (blocks - used) * BLOCK
        self.looks = 0

    def statvfs(self, _: object) -> os.statvfs_result:
        self.looks += 1
        free = self.free // BLOCK
        return os.statvfs_result((BLOCK, BLOCK, self.blocks, free, free, 0, 0, 0, 0, 255))


def taken(disk: Disk, size: int, parts: Sequence[int]) -> int:
    """How many of the parts find room, one after the other."""
    reserve = Reserve(Path("/"), size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", disk.statvfs)
        for count, part in enumerate(parts):
            try:
                reserve.take(part)
            except DiskFull:
                return count
            disk.free -= part
    return len(parts)


@given(
    st.integers(1, 1 << 16),
    st.integers(0, 1 << 29),
    st.lists(st.integers(0, 9 * MEBIBYTE), max_size=60),
)
@example(32 * 256, 256 * MEBIBYTE, [64 << 10] * 600)
def test_what_is_reserved_stays_free_and_what_is_not_is_let_in(
    blocks: int, size: int, parts: list[int]
) -> None:
    disk = Disk(blocks)
    least = min(size, blocks * BLOCK // SMALL_DISK)
    count = taken(disk, size, parts)
    if not size:
        assert count == len(parts)
        assert disk.looks == 0
        return
    assert count == 0 or disk.free >= least
    if count < len(parts):
        assert disk.free - parts[count] < least + BLOCK


def test_the_disk_is_looked_at_once_in_some_megabytes() -> None:
    disk = Disk(1 << 20)
    parts = [0, *[64 << 10] * 1600]
    assert taken(disk, MEBIBYTE, parts) == len(parts)
    assert disk.looks <= 1 + sum(parts) // LOOK_BYTES + 1


def test_a_disk_that_does_not_tell_its_size_takes_all() -> None:
    assert taken(Disk(0), MEBIBYTE, [0, 100 * MEBIBYTE, 1]) == 3


def test_whoever_is_refused_is_told_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(8 * 256, 6 * 256)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    reserve = Reserve(Path("/"), 256 * MEBIBYTE, "the folder")
    with pytest.raises(DiskFull, match="would leave 1048575") as no:
        reserve.take(MEBIBYTE + 1)
    assert no.value.facts == {"min_free_bytes": str(MEBIBYTE)}
    reserve.take(MEBIBYTE)
    disk.free = 0
    for size in (0, 1, 1):
        with pytest.raises(DiskFull, match="would leave 0"):
            reserve.take(size)
