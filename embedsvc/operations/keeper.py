"""A directory with one file for each operation."""

import re
from pathlib import Path

from embedsvc.files import disk_errors, replace_file, sync_directory
from embedsvc.operations.operation import Operation, from_bytes, to_bytes

ID = re.compile(r"[0-9a-f]{32}")

KEPT_SECONDS = 30 * 24 * 3_600.0
"""How long one that is over can still be asked for."""


class Keeper:
    """What is kept of operations; made if it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with disk_errors():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def all(self, now: float) -> list[Operation]:
        """Every operation that can be read, the oldest first; what ended long ago is dropped."""
        found = []
        for path in self._directory.glob("*.json"):
            operation = from_bytes(path.read_bytes()) if ID.fullmatch(path.stem) else None
            if operation is None or operation.id != path.stem:
                continue
            if operation.done and now - operation.updated_at > KEPT_SECONDS:
                path.unlink(missing_ok=True)
            else:
                found.append(operation)
        return sorted(found, key=lambda each: (each.created_at, each.id))

    def keep(self, operation: Operation) -> None:
        """Write an operation as it is now; durable on return. Raises DiskFull."""
        with disk_errors():
            replace_file(self._path(operation.id), to_bytes(operation))
            sync_directory(self._directory)

    def forget(self, id: str) -> None:  # the field's name
        """Remove what is kept of an operation."""
        self._path(id).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _path(self, id: str) -> Path:
        return self._directory / f"{id}.json"
