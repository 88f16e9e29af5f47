"""Features as Parquet, through pyarrow if it is there: one row for each vector or frame."""

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import FailedPrecondition
from embedsvc.feature_files.columns import named, text, uniform
from embedsvc.feature_files.spool import Contents
from embedsvc.timing import FRAME, SAMPLE_RATE
from embedsvc.types import MetadataValue

GROUP_BYTES = 16 << 20
"""Vectors in one row group: what writing takes of memory, and the least that is read."""

_TEXTS = ("path", "id", "digest")
_EDGES = ("start", "end")


def check_parquet() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`; raises FailedPrecondition without them."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise FailedPrecondition(
            "`--output` can be .parquet with pyarrow only, which is not installed: "
            "pip install 'embedsvc[parquet]'"
        ) from error


def write_parquet(path: Path, contents: Contents) -> None:
    """Write a table group after group; the metadata of its schema has the facts.

    The numbers of a vector are a list of fixed size. What is known of a recording is repeated in
    each of its rows; what is missing is null.
    """
    pa, parquet = check_parquet()
    known = _known(pa, contents)
    vectors = {contents.facts.key("vector", name): rows for name, rows in contents.rows.items()}
    schema = pa.schema(
        [
            *((name, values.type) for name, values in known.items()),
            *((name, pa.float64()) for name in _EDGES),
            *((name, _vector_type(pa, rows)) for name, rows in vectors.items()),
        ],
        _facts(contents),
    )
    repeated = [name for name, values in known.items() if values.type == pa.string()]
    with parquet.ParquetWriter(path, schema, use_dictionary=repeated) as writer:
        for first, end in _groups(list(vectors.values())):
            places, edges = _places(contents, first, end)
            columns = [values.take(pa.array(places)) for values in known.values()]
            columns += [pa.array(edges[:, side]) for side in range(2)]
            columns += [_list(pa, rows[first:end]) for rows in vectors.values()]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _known(pa: Any, contents: Contents) -> dict[str, Any]:
    """What there is one of for each recording, as arrays of Arrow."""
    ours = {name: [_safe(getattr(entry, name)) for entry in contents.entries] for name in _TEXTS}
    vectors = {contents.facts.key("vector", name) for name in contents.rows}
    theirs = named(contents.columns, {*_TEXTS, *_EDGES, *vectors})
    return {name: pa.array(values, pa.string()) for name, values in ours.items()} | {
        name: _array(pa, uniform(column)) for name, column in theirs.items()
    }


def _array(pa: Any, values: Sequence[MetadataValue | None]) -> Any:
    if all(value is None for value in values):
        return pa.array(values, pa.string())
    return pa.array([_safe(value) if isinstance(value, str) else value for value in values])


def _safe(value: MetadataValue) -> str:
    r"""Text that UTF-8 can hold; other bytes of a name become \xNN."""
    return text(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _facts(contents: Contents) -> dict[str, str]:
    failures = {_safe(entry.path): _safe(entry.error) for entry in contents.failures}
    return {
        "embedsvc.facts": contents.facts.to_json(),
        "embedsvc.failures": json.dumps(failures),
    }


def _vector_type(pa: Any, rows: NDArray[Any]) -> Any:
    return pa.list_(pa.from_numpy_dtype(rows.dtype), rows.shape[1])


def _list(pa: Any, rows: NDArray[Any]) -> Any:
    flat = pa.array(np.asarray(rows).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def _groups(rows: Sequence[NDArray[Any]]) -> Iterator[tuple[int, int]]:
    count = len(rows[0])
    step = max(1, GROUP_BYTES // sum(each.shape[1] * each.itemsize for each in rows))
    return ((first, min(count, first + step)) for first in range(0, count, step))


def _places(
    contents: Contents, first: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each row, the place of its recording, and where it begins and ends in seconds."""
    rows = np.arange(first, end)
    offsets = contents.offsets
    places = np.searchsorted(offsets, rows, side="right") - 1
    if contents.spans is not None:
        return places, contents.spans[first:end] / SAMPLE_RATE
    starts = (rows - offsets[places]) * FRAME
    return places, np.stack([starts, starts + FRAME], axis=1) / SAMPLE_RATE
