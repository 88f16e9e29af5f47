"""Metadata of recordings as columns."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.types import Metadata, MetadataValue

Column = Sequence[MetadataValue | None]
"""One value for each recording; None where nothing is known."""


def tabulate(names: Sequence[str], rows: Sequence[Metadata]) -> dict[str, Column]:
    """The columns `names` of rows of metadata."""
    return {name: [row.get(name) for row in rows] for name in names}


def named(columns: Mapping[str, Column], taken: Collection[str]) -> dict[str, Column]:
    """Columns by the names they get beside names that are `taken`, and that a file may have.

    >>> list(named({"language": [], "seconds": [], "a/b": []}, {"seconds"}))
    ['language', 'metadata_seconds', 'a_b']
    """
    found: dict[str, Column] = {}
    for name, column in columns.items():
        free = "".join("_" if sign in "/\\" or not sign.isprintable() else sign for sign in name)
        free = free or "metadata"
        while free in taken or free in found:
            free = f"metadata_{free}"
        found[free] = column
    return found


def uniform(column: Column) -> Column:
    """A column whose values are of one type: whole numbers become floats, all else text.

    >>> uniform([1, 2.5, None]), uniform([True, "yes"]), uniform([True, None])
    ([1.0, 2.5, None], ['true', 'yes'], [True, None])
    """
    kinds = {type(value) for value in column if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in column]
    if len(kinds) > 1 or any(
        kind is int and not -(2**63) <= value < 2**63
        for kind, value in ((type(value), value) for value in column)
        if isinstance(value, int)
    ):
        return [None if value is None else text(value) for value in column]
    return column


def text(value: MetadataValue) -> str:
    """A value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def array(column: Column) -> NDArray[Any]:
    """A column (R,) without objects: what is missing is NaN among numbers, and empty as text."""
    values = uniform(column)
    kinds = {type(value) for value in values}
    if kinds <= {int, float, type(None)} and kinds - {type(None)}:
        if kinds == {int}:
            return np.array(values, np.int64)
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if kinds == {bool}:
        return np.array(values, np.bool_)
    return texts(["" if value is None else text(value) for value in values])


def texts(values: Sequence[str]) -> NDArray[np.str_]:
    """Texts (R,) of the width of the longest; an empty list has a type too."""
    return np.array(values, np.str_) if len(values) else np.empty(0, "<U1")
