"""Speech made by this project, to try the service with: a few sentences in many languages.

Clips of one group say the same thing. `archive` clips are there to be searched and `query`
clips to search with; both come from a synthesizer, see `make`.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from embedsvc.errors import InvalidArgument

ROLES = ("archive", "query")
"""What a clip is for: to be searched, or to search with."""


@dataclass(frozen=True)
class Clip:
    """One sentence, spoken; Ogg Opus, mono, 16 kHz.

    `language` is an ISO 639-3 code and `name` its English name; clips of one `group` say the
    same thing. `text` is what is said and `translation` what it means in English.
    """

    path: Path
    language: str
    name: str
    group: str
    role: str
    voice: str
    seconds: float
    text: str
    translation: str

    def data(self) -> bytes:
        """Bytes of the file, as it lies on disk."""
        return self.path.read_bytes()


def clips(role: str | None = None) -> tuple[Clip, ...]:
    """Every clip, or those of one role, in the order of the index.

    >>> sorted({clip.group for clip in clips("archive")})
    ['food', 'music', 'news', 'trip', 'weather']
    """
    if role is not None and role not in ROLES:
        raise InvalidArgument(
            f"`role` must be one of {', '.join(ROLES)}, but is {role}", field="role"
        )
    return tuple(clip for clip in _index() if role in {None, clip.role})


def one_of_each() -> tuple[Clip, ...]:
    """One clip of each language that is there to be searched.

    >>> len(one_of_each())
    18
    """
    return tuple({clip.language: clip for clip in clips("archive")}.values())


@cache
def _index() -> tuple[Clip, ...]:
    folder = Path(str(resources.files(__name__)))
    with (folder / "index.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(_clip(folder, row) for row in rows)


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    return Clip(
        path=folder / row["path"],
        language=row["language"],
        name=row["name"],
        group=row["group"],
        role=row["role"],
        voice=row["voice"],
        seconds=float(row["seconds"]),
        text=row["text"],
        translation=row["translation"],
    )
