"""Labeled speech as it lies on disk: folders of sound files with an `index.tsv` each."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedsvc.errors import InvalidArgument
from embedsvc.types import MetadataValue

INDEX = "index.tsv"
SYNTHETIC = "synthetic"
"""Corpus of speech that a synthesizer made."""

REQUIRED = ("path", "split", "language", "speaker", "label", "seconds", "group")
LEAST_REQUIRED = ("path", "language", "group")
"""Columns of a table that is only asked what says the same in which language."""

USUAL_SECONDS = 20.0
"""Length of a clip whose table does not tell it."""

TRAINABLE = ("permissive", "cc-by-sa")
"""Classes of licenses that a shipped probe may be trained under."""

_LANGUAGE_CODE = 3
_PARTS = 1 << 16


@dataclass(frozen=True)
class Row:
    """One clip and what is known of it; `phones` are those of its text, where they are known.

    `locale` is ISO 639-3, perhaps with a region. Clips of one `group` say the same thing. `name` is
    the path as the table has it.
    """

    corpus: str
    path: Path
    split: str
    locale: str
    speaker: str
    label: str
    transcript: str
    seconds: float
    group: str
    licence_class: str
    phones: tuple[str, ...] = ()
    name: str = ""

    @property
    def language(self) -> str:
        """The locale without its region."""
        return self.locale[:_LANGUAGE_CODE]

    @property
    def metadata(self) -> dict[str, MetadataValue]:
        """What a filter may ask of it."""
        return {
            "split": self.split,
            "language": self.locale,
            "speaker": self.speaker,
            "label": self.label,
            "group": self.group,
            "licence_class": self.licence_class,
            "seconds": self.seconds,
        }

    @property
    def trainable(self) -> bool:
        """Whether a shipped probe may learn from it."""
        return self.split == "train" and self.licence_class in TRAINABLE


def read_speech(folder: Path) -> tuple[Row, ...]:
    """Rows of every set in `folder`, in the order of the names of sets."""
    sets = sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
    if not sets:
        raise InvalidArgument(f"`--speech` must hold sets with an {INDEX} each: {folder}")
    return tuple(row for each in sets for row in read_set(each, each.name))


def read_set(folder: Path, corpus: str) -> tuple[Row, ...]:
    """Rows of the set in `folder`; raises `InvalidArgument` for a table of another kind."""
    return read_table(folder / INDEX, corpus, REQUIRED)


def read_table(
    path: Path, corpus: str = "", required: Sequence[str] = LEAST_REQUIRED
) -> tuple[Row, ...]:
    """Rows of a table beside its sound files; raises `InvalidArgument` for one of another kind."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = set(required) - set(table.fieldnames or ())
            if missing:
                raise InvalidArgument(f"{path} must have the columns {', '.join(sorted(missing))}")
            return tuple(_row(path.parent, corpus, cells) for cells in table)
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidArgument(f"{path} must be a readable table, but {error}") from error


def thinned(rows: Sequence[Row], share: float) -> tuple[Row, ...]:
    """About `share` of the rows, always the same ones; those of a smaller share among them."""
    return tuple(row for row in rows if _place(row) < share)


def capped(rows: Iterable[Row], most: int) -> tuple[Row, ...]:
    """At most `most` rows of each language, always the same ones."""
    counts: dict[str, int] = {}
    kept = []
    for row in sorted(rows, key=lambda row: (_place(row), row.path)):
        counts[row.language] = counts.get(row.language, 0) + 1
        if counts[row.language] <= most:
            kept.append(row)
    return tuple(kept)


def _row(folder: Path, corpus: str, cells: dict[str, str]) -> Row:
    return Row(
        corpus=corpus,
        path=folder / cells["path"],
        split=cells.get("split") or "",
        locale=cells["language"],
        speaker=cells.get("speaker") or "",
        label=cells.get("label") or "",
        transcript=cells.get("transcript") or "",
        seconds=float(cells.get("seconds") or USUAL_SECONDS),
        group=cells["group"] or "",
        licence_class=cells.get("licence_class") or "",
        name=cells["path"],
        phones=tuple((cells.get("phones") or "").split()),
    )


def _place(row: Row) -> float:
    """A number in [0, 1) that depends on the name of the clip alone."""
    name = f"{row.corpus}/{row.path.parent.name}/{row.path.name}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") / _PARTS
