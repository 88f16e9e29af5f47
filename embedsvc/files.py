"""The file operations whose order decides what a crash leaves behind."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedsvc.errors import DataDirectoryInUse, DiskFull

FULL_OR_FAILING = "`data_dir` must have room, but its disk is full or failing"


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
