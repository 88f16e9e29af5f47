"""Writing sets of speech as they lie on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_set(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """An `index.tsv` with these rows; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [list(rows[0]), *([row.get(name, "") for name in rows[0]] for row in rows)]
    path = folder / "index.tsv"
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path
