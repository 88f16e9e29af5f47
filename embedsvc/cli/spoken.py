"""Labelled speech in a folder, as examples to train a probe on."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsvc import filters
from embedsvc.audio import Door, decode, log_mel
from embedsvc.cli import tables
from embedsvc.client import Audible, Client, Examples
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.evaluation.baseline import cepstra_of, mfcc_vector
from embedsvc.filters import Filter
from embedsvc.timing import FRAME, SAMPLE_RATE, STRIDE, to_samples
from embedsvc.types import Floats, Lane, MetadataValue, OutputSpec, Pooling, Space

AT_ONCE = 4
AHEAD = 8
"""Files that are embedded, or wait to be sent on."""

ALONE = "\0"
"""Begins the group of a file when the table names none: its spans stay together."""

FRAMES_APART = 4
"""Of frame-level examples every fourth is taken: neighbors are nearly the same."""


@dataclass(frozen=True)
class Row:
    """An example: a file or, in seconds, a span of it, and what it is."""

    path: Path
    label: str
    group: str
    span: tuple[float, float] | None = None


Told = Callable[[int, int], None]
Embedded = tuple[tuple[Space, ...], Examples]


def rows(
    folder: Path, metadata: Path, label: str, group: str, only: Filter | None
) -> dict[Path, list[Row]]:
    """The examples of each file; raises InvalidArgument when there are none."""
    found: dict[Path, list[Row]] = defaultdict(list)
    for name, known in tables.listed(metadata):
        if label not in known or (only is not None and not filters.matches(only, known)):
            continue
        path = folder / name
        text = str(known[label])
        found[path].append(
            Row(path, text, str(known.get(group, "")) or f"{ALONE}{name}", _span(known))
        )
    if not found:
        raise InvalidArgument(
            f"`--metadata` must have rows with a column {label!r}, but {metadata} has none"
        )
    return dict(found)


def embedded(
    client: Client,
    files: dict[Path, list[Row]],
    specs: Sequence[OutputSpec],
    say: Callable[[str], None],
    tell: Told,
) -> Iterator[Embedded]:
    """What each file gives; those that fail are named and do not stop the others."""
    waiting: deque[tuple[Path, Future[Embedded]]] = deque()
    done = 0
    with ThreadPoolExecutor(AT_ONCE) as threads:

        def taken() -> Iterator[Embedded]:
            nonlocal done
            path, future = waiting.popleft()
            done += 1
            tell(done, len(files))
            try:
                yield future.result()
            except EmbedsvcError as error:
                say(f"{path}: {error}")

        try:
            for path, mine in files.items():
                waiting.append((path, threads.submit(_of_file, client, path, mine, specs)))
                if len(waiting) >= AHEAD:
                    yield from taken()
            while waiting:
                yield from taken()
        finally:
            for _, future in waiting:
                future.cancel()


def _of_file(
    client: Client, path: Path, mine: Sequence[Row], specs: Sequence[OutputSpec]
) -> Embedded:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"`{path}` must be readable, but {error.strerror}") from error
    samples = decode(data, Door(max_seconds=6 * 3600.0)).samples
    if any(spec.pooling is Pooling.NONE for spec in specs):
        return _frames(client, data, samples, mine, specs)
    vectors, features = [], []
    spaces: tuple[Space, ...] = ()
    for row in mine:
        part = samples if row.span is None else samples[slice(*map(to_samples, row.span))]
        source: Audible = data if row.span is None else (part, SAMPLE_RATE)
        answer = client.embed(source, outputs=specs, lane=Lane.NORMAL)
        spaces = tuple(output.space for output in answer.outputs)
        vectors.append(np.concatenate([output.array for output in answer.outputs]))
        features.append(mfcc_vector(log_mel(part)))
    labels, groups = [row.label for row in mine], [row.group for row in mine]
    return spaces, Examples(np.stack(vectors), labels, groups, np.stack(features))


def _frames(
    client: Client,
    data: bytes,
    samples: Floats,
    mine: Sequence[Row],
    specs: Sequence[OutputSpec],
) -> Embedded:
    """Frames within the spans of a file, each with the label of its span."""
    answer = client.embed(data, outputs=specs, lane=Lane.NORMAL)
    spaces = tuple(output.space for output in answer.outputs)
    frames = np.hstack([output.array for output in answer.outputs])
    cepstra = _frame_cepstra(samples)
    count = min(len(frames), len(cepstra))
    places: list[int] = []
    labels, groups = list[str](), list[str]()
    for row in mine:
        start, end = row.span or (0.0, count * FRAME / SAMPLE_RATE)
        first, last = round(start * SAMPLE_RATE / FRAME), round(end * SAMPLE_RATE / FRAME)
        chosen = range(first, min(last, count), FRAMES_APART)
        places += chosen
        labels += [row.label] * len(chosen)
        groups += [row.group] * len(chosen)
    return spaces, Examples(frames[places], labels, groups, cepstra[places])


def _frame_cepstra(samples: Floats) -> Floats:
    """Mean cepstra of each 20 ms, and how they change within: (T, 40)."""
    cepstra = cepstra_of(log_mel(samples))
    pairs = cepstra[: len(cepstra) // STRIDE * STRIDE].reshape(-1, STRIDE, cepstra.shape[1])
    both: Floats = np.hstack([pairs.mean(axis=1), pairs[:, -1] - pairs[:, 0]]).astype(np.float32)
    return both


def _span(known: dict[str, MetadataValue]) -> tuple[float, float] | None:
    if "start" not in known or "end" not in known:
        return None
    start, end = known["start"], known["end"]
    if not isinstance(start, int | float) or not isinstance(end, int | float) or end <= start:
        raise InvalidArgument(f"`--metadata` must have spans in seconds, but one is {start}-{end}")
    return float(start), float(end)
