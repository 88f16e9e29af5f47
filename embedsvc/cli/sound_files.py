"""Sound files that a command was given, in the order given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
"""Of files that are taken from folders; a file that is named is taken whatever it is called."""


@dataclass(frozen=True)
class SoundFile:
    """A file, and its name below the folder given; `size` and `modified` (ns) are -1 of none."""

    path: Path
    name: str
    size: int
    modified: int


def found(paths: Sequence[Path]) -> list[SoundFile]:
    """Files as they are given, those of a folder by name; what is not there is among them."""
    return [_sound_file(path, name) for each in paths for path, name in inside(each)]


def inside(path: Path) -> Iterator[tuple[Path, str]]:
    """The sound files below a folder, or the file itself, each with its name."""
    if not path.is_dir():
        yield path, path.name
        return
    for inner in sorted(path.rglob("*")):
        if inner.suffix.lower() in EXTENSIONS and inner.is_file():
            yield inner, inner.relative_to(path).as_posix()


def _sound_file(path: Path, name: str) -> SoundFile:
    try:
        status = path.stat()
    except OSError:
        return SoundFile(path, name, -1, -1)
    return SoundFile(path, name, status.st_size, status.st_mtime_ns)
