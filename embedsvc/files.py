"""The file operations whose order decides what a crash leaves behind."""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedsvc.errors import DataDirectoryInUse, DiskFull

FULL_OR_FAILING = "`data_dir` must have room, but its disk is full or failing"

LOOK_BYTES = 4 << 20
"""Written at most between two looks at how much is free: some disks are asked over a network."""

SMALL_DISK = 8
"""A reserve is no more than one part in so many of its disk."""

FILE_BYTES = 4096
"""What a file takes at least: a block of most file systems."""

Take = Callable[[int], None]
"""Told of bytes before they are written; raises DiskFull when they are not to be."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the system says of a full or failing disk into DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise DiskFull(FULL_OR_FAILING) from error
        raise


def sync_directory(directory: Path) -> None:
    """Make the creations, renames and removals in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Give `path` new content, all of it or none; the name is durable after `sync_directory`."""
    draft = path.with_name(f"{path.name}.tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class DirectoryLock:
    """Sole use of a directory, from creation until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise DataDirectoryInUse(
                f"`data_dir` must not be in use, but {directory} is, "
                f"by process {holder or 'unknown'}",
                field="data_dir",
                directory=str(directory),
                holder_pid=holder,
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)


class Reserve:
    """Free disk that callers leave to what must always be written; for all of them and any thread.

    It is `size` bytes of the file system of `folder`, which errors call `what`, or an eighth of a
    small one; 0 for none. What is being written this moment is not seen, nor what others write
    between two looks, so that the reserve must be larger than both.
    """

    def __init__(self, folder: Path, size: int, what: str = "`data_dir`") -> None:
        self._folder = folder
        self._size = size
        self._what = what
        self._granted = 0
        self._lock = threading.Lock()

    def take(self, size: int = 0) -> None:
        """Before `size` more bytes are written, and with 0 before the first of several writes.

        Raises DiskFull when less than the reserve would stay free.
        """
        if not self._size:
            return
        with self._lock:
            if 0 < size <= self._granted:
                self._granted -= size
            else:
                self._granted = min(LOOK_BYTES, self._beyond(size))

    def _beyond(self, size: int) -> int:
        """Bytes that are free beside `size` more and the reserve."""
        found = os.statvfs(self._folder)
        if not found.f_blocks:  # as of a file system that does not tell
            return LOOK_BYTES
        least = min(self._size, found.f_blocks * found.f_frsize // SMALL_DISK)
        left = found.f_bavail * found.f_frsize - size
        if left < least:
            self._granted = 0
            raise DiskFull(
                f"{self._what} must keep {least} bytes of its disk free, but this would leave "
                f"{max(0, left)}",
                min_free_bytes=least,
            )
        return left - least


class Ballast:
    """Disk space held by an empty file, to be given up when nothing else is left."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def hold(self) -> None:
        """Take the space, unless that would itself bring the disk near full."""
        if not self._size or shutil.disk_usage(self._path.parent).free < 4 * self._size:
            return
        with self._path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, self._size)

    def release(self) -> None:
        """Give the space up, until the next start."""
        self._path.unlink(missing_ok=True)
