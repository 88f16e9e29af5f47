"""The files of a probe on their way to the shelf, where they arrive once.

They are written whole, and then moved away. Beside those of a training a note says which version
they are to be: written before the move, and removed before the files are, so that a note without
files is of a version that has arrived, whether or not it is still there.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from embedsvc.files import replace_file, sync_directory


class Draft:
    """Files in a folder that is not there yet, or is left from before; `note` may have no place."""

    def __init__(self, folder: Path, note: Path | None = None) -> None:
        self._folder = folder
        self._note = note

    def resume(self) -> int | None:
        """Which version the files have become; None if they never arrived, and are gone now."""
        if self._note is not None and not self._folder.exists():
            with suppress(FileNotFoundError):
                return int(self._note.read_text())
        self.clear()
        return None

    def move(self, files: Mapping[str, bytes], version: int, place: Path) -> None:
        """Have `files` at `place`, all at once and durably, or not at all."""
        self.clear()
        self._folder.mkdir(mode=0o700)
        try:
            for name, content in files.items():
                with (self._folder / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            sync_directory(self._folder)
            if self._note is not None:
                replace_file(self._note, str(version).encode())
                sync_directory(self._note.parent)
            self._folder.rename(place)
        except BaseException:
            self.clear()
            raise
        sync_directory(place.parent)
        if self._note is not None:
            sync_directory(self._note.parent)

    def clear(self) -> None:
        """Let go of what has not arrived, or of the knowledge that it has."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
            # A disk that fails has been told of; the order still holds unless the power fails too.
            with suppress(OSError):
                sync_directory(self._note.parent)
        shutil.rmtree(self._folder, ignore_errors=True)
