"""Metadata of files, from a table that names them."""

from collections.abc import Sequence
from pathlib import Path

from embedsvc.cli import tables
from embedsvc.cli.output import say
from embedsvc.cli.sound_files import SoundFile
from embedsvc.feature_files.columns import Column, tabulate

NAMED = 5
"""Rows without a file that are named; of the others, the number is told."""


def columns(items: Sequence[SoundFile], table: Path | None) -> dict[str, Column]:
    """Every column of `table`, one value for each item.

    A row is of the file with the path that it names, as it was given, below the folder given, or
    without any folder. Files and rows that have no other half are told, and are no failure.
    """
    if table is None:
        return {}
    rows = tables.read(table)
    used: set[str] = set()
    found = []
    for item in items:
        paths = (str(item.path), item.name, Path(item.name).name)
        key = next((name for name in paths if name in rows), None)
        found.append({} if key is None else rows[key])
        used |= set() if key is None else {key}
    _tell(table, len(items) - sum(map(bool, found)), [key for key in rows if key not in used])
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    return dict(tabulate(names, found))


def _tell(table: Path, bare: int, unused: Sequence[str]) -> None:
    if bare:
        say(f"{bare} files have no row in {table.name}")
    if unused:
        named = ", ".join(unused[:NAMED]) + (", ..." if len(unused) > NAMED else "")
        say(f"{len(unused)} rows of {table.name} have no file here: {named}")
