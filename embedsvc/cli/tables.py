"""Metadata files: one row for each recording, as .tsv, .csv or .jsonl."""

import csv
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from embedsvc.errors import InvalidArgument
from embedsvc.types import MetadataValue

KEYS = ("path", "id", "file")
"""Columns that may say which recording a row is about, the first that is there."""

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][-+]?\d+)?")

Rows = dict[str, dict[str, MetadataValue]]


def read(path: Path, texts: Collection[str] = ()) -> Rows:
    """Metadata by path or id.

    In .tsv and .csv a column is of numbers when every value in it is one and it is not among
    `texts`; empty cells are left out. In .jsonl values have their own types, of `texts` they must
    be texts; null is left out.
    """
    return dict(listed(path, texts))


def listed(path: Path, texts: Collection[str] = ()) -> list[tuple[str, dict[str, MetadataValue]]]:
    """As `read`, where a path or id may have several rows."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"`--metadata` must be a readable text file, but {error}") from error
    if path.suffix == ".jsonl":
        return _keyed(path, _json_rows(path, text, texts))
    if path.suffix not in {".tsv", ".csv"}:
        raise InvalidArgument(f"`--metadata` must be .tsv, .csv or .jsonl, but is {path.name}")
    return _keyed(path, _typed(_cells(path, text), texts))


def _cells(path: Path, text: str) -> list[dict[str, Any]]:
    # Only line feeds end lines here; `splitlines` knows others, which texts may hold.
    lines = io.StringIO(text)
    form: dict[str, Any] = {}
    if path.suffix == ".tsv":
        form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    try:
        rows: list[dict[str, Any]] = list(csv.DictReader(lines, **form))
    except csv.Error as error:
        raise InvalidArgument(f"`--metadata` must be a table, but {path.name}: {error}") from error
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InvalidArgument(f"`--metadata` row {number} must have a column for every cell")
    return rows


def _json_rows(path: Path, text: str, texts: Collection[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidArgument(f"`--metadata` line {number} must be JSON: {error}") from error
        if not isinstance(row, dict):
            raise InvalidArgument(f"`--metadata` line {number} of {path.name} must be an object")
        for name, value in row.items():
            if isinstance(value, list | dict):
                raise InvalidArgument(
                    f"`--metadata` line {number} must have a text, number or boolean as {name!r}"
                )
            if name in texts and not isinstance(value, str | None):
                raise InvalidArgument(f"`--metadata` line {number} must have a text as {name!r}")
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def _typed(rows: list[dict[str, Any]], texts: Collection[str]) -> list[dict[str, Any]]:
    names = list(rows[0]) if rows else []
    makers = {name: _maker([row.get(name) or "" for row in rows]) for name in names}
    return [
        {
            name: row[name] if name in KEYS or name in texts else makers[name](row[name])
            for name in names
            if row.get(name)
        }
        for row in rows
    ]


def _maker(values: Iterable[str]) -> type[int] | type[float] | type[str]:
    """The type of a column; a code such as 007 is no number."""
    filled = [value for value in values if value]
    if filled and all(_INTEGER.fullmatch(value) for value in filled):
        return int
    if filled and all(_NUMBER.fullmatch(value) for value in filled):
        return float
    return str


def _keyed(path: Path, rows: list[dict[str, Any]]) -> list[tuple[str, dict[str, MetadataValue]]]:
    key = next((key for key in KEYS if any(key in row for row in rows)), None)
    if rows and key is None:
        raise InvalidArgument(f"`--metadata` must have a column {', '.join(KEYS)}: {path.name}")
    return [
        (str(row[key]), {name: value for name, value in row.items() if name != key})
        for row in rows
        if key in row
    ]


def matching(rows: Rows, name: str) -> Mapping[str, MetadataValue] | None:
    """The row of a recording, by its id or by the name of its file."""
    return rows.get(name) or rows.get(Path(name).name)
