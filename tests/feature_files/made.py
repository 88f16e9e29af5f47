"""Contents of files that no encoder had to make."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from embedsvc.feature_files import Contents, Entry, Facts, Spool
from embedsvc.feature_files.columns import Column
from embedsvc.types import DType, Output, Pooling, Space, Span, Windowing

DIM = 3


def space(pooling: Pooling = Pooling.MEAN, fingerprint: str = "f00") -> Space:
    return Space(fingerprint, "mini", "w", 4, pooling, Windowing(), "", True, DIM)


def output(start: int, count: int, name: str = "", pooling: Pooling = Pooling.MEAN) -> Output:
    """Rows whose numbers tell which they are."""
    array = np.arange(start, start + count, dtype=np.float32)[:, None] * np.ones(DIM, np.float32)
    spans = tuple(Span(row * 320, row * 320 + 320) for row in range(count))
    return Output(name, space(pooling), array, Span(0, 320 * max(count, 1)), spans)


def entry(place: int) -> Entry:
    return Entry(f"dir/{place}.wav", f"{place}.wav", 100 + place, place)


def facts(dtype: DType = DType.FLOAT32) -> Facts:
    return Facts({}, dtype)


def fill(
    spool: Spool,
    counts: Sequence[int],
    names: Sequence[str] = ("",),
    pooling: Pooling = Pooling.MEAN,
) -> None:
    """Recordings of so many rows; one of no rows failed."""
    for place, count in list(enumerate(counts))[len(spool.entries) :]:
        start = sum(counts[:place])
        if not count:
            failed = Entry(**{**vars(entry(place)), "error": "no sound", "reason": "AUDIO_EMPTY"})
            spool.finish(failed)
            continue
        outputs = [output(start, count, name, pooling) for name in names]
        rows = spool.append(outputs, outputs[0].segments)
        done = Entry(**{**vars(entry(place)), "rows": rows, "seconds": count / 50, "digest": "d"})
        spool.finish(done)
    spool.commit()


def contents(
    folder: Path,
    counts: Sequence[int],
    columns: Mapping[str, Column] | None = None,
    *,
    names: Sequence[str] = ("",),
    pooling: Pooling = Pooling.MEAN,
    dtype: DType = DType.FLOAT32,
) -> Contents:
    with Spool(folder, {}, facts(dtype)) as spool:
        fill(spool, counts, names, pooling)
        return spool.contents(columns or {})
