"""`embedsvc embed --output`: a corpus as a file of features.

What is done lies beside the file until all is, in a folder that the next run goes on with; the file
itself appears whole or not at all.
"""

import argparse
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from embedsvc.cli import connection, joined, sound_files
from embedsvc.cli.described import described
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.cli.sound_files import SoundFile
from embedsvc.client import Client, Embedding
from embedsvc.client.ahead import Answer, Wanted, answers, is_of_one
from embedsvc.errors import DiskFull, EmbedsvcError, FailedPrecondition, InvalidArgument
from embedsvc.feature_files import (
    Contents,
    Entry,
    Facts,
    Spool,
    check_parquet,
    space_fields,
    write_npz,
    write_parquet,
)
from embedsvc.feature_files.columns import Column
from embedsvc.files import sync_directory
from embedsvc.timing import SAMPLE_RATE, to_samples
from embedsvc.types import ChannelPolicy, DType, OutputSpec, Pooling, Segmentation

Write = Callable[[Path, Contents], None]

WRITERS: dict[str, Write] = {".npz": write_npz, ".parquet": write_parquet}

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass
class Told:
    """What a run tells at its end."""

    seconds: float = 0.0
    warnings: Counter[str] = field(default_factory=Counter)


def run(chosen: argparse.Namespace) -> int:
    """Embed each file into `--output`; those that fail are named and do not stop the others."""
    write = _writer(chosen.output)
    items = _unique(sound_files.found(chosen.audio))
    if not items:
        say("no sound files found")
        return 1
    columns = joined.columns(items, chosen.metadata)
    folder = chosen.output.with_name(f".{chosen.output.name}.partial")
    with connection.connect(chosen) as client:
        wanted, facts = _wanted(chosen, client)
        request = {"outputs": list(map(asdict, wanted.outputs)), "channels": wanted.channels}
        if chosen.restart:
            Spool.forget(folder)
        try:
            with Spool(folder, request | {"facts": facts.to_json()}, facts) as spool:
                entries = _entries(items)
                spool.check_begins(entries)
                with _kept(spool):
                    code = _fill(spool, client, wanted, entries, as_json=chosen.json)
                    if spool.facts is not None:
                        contents = _publish(spool, chosen.output, write, columns)
                        if not chosen.json:
                            _show(contents)
                spool.remove()
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskFull(
                    f"`--output` must have room beside it, but: {error.strerror}"
                ) from error
            raise
    return code


@contextmanager
def _kept(spool: Spool) -> Iterator[None]:
    """Whatever ends the run, leave what the next can go on with, and nothing else."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, EmbedsvcError):
            spool.commit()
        if not spool.entries:
            spool.remove()
        elif not isinstance(error, FailedPrecondition):
            say(f"what was embedded is kept in {spool.folder}; the same command goes on")
        raise


def _writer(output: Path) -> Write:
    if output.suffix not in WRITERS:
        raise InvalidArgument(f"`--output` must be .npz or .parquet, but is {output.name}")
    if not output.parent.is_dir():
        raise InvalidArgument(f"`--output` must be in a folder that exists, not {output}")
    if output.is_dir():
        raise InvalidArgument(f"`--output` must be a file, but {output} is a folder")
    if output.suffix == ".parquet":
        check_parquet()
    return WRITERS[output.suffix]


def _unique(items: Sequence[SoundFile]) -> list[SoundFile]:
    """Each file once: a row that stands twice would be in training and in test."""
    unique = {item.path: item for item in reversed(items)}
    kept = [item for place, item in enumerate(items) if unique.get(item.path) is item]
    if len(kept) < len(items):
        say(f"{len(items) - len(kept)} files were given twice, and are taken once")
    return kept


def _wanted(chosen: argparse.Namespace, client: Client) -> tuple[Wanted, Facts]:
    if chosen.hop and not chosen.segments:
        raise InvalidArgument("`--hop` must be beside `--segments`, but is alone", field="hop")
    segmentation = None
    if chosen.segments:
        length = to_samples(chosen.segments)
        hop = to_samples(chosen.hop) if chosen.hop else length // 2
        segmentation = Segmentation(length, hop)
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    frames = pooling is Pooling.NONE
    if frames and segmentation is not None:
        raise InvalidArgument("`--segments` must be of vectors, but `--pooling none` gives frames")
    dtype = DType(chosen.dtype) if chosen.dtype else DType.FLOAT16 if frames else DType.FLOAT32
    specs = [
        OutputSpec(name, layer, pooling, chosen.projection, profile=profile, dtype=dtype)
        for name, layer, profile in _choices(chosen, client)
    ]
    wanted = Wanted(specs, segmentation, channels=ChannelPolicy(chosen.channels))
    return wanted, Facts({}, dtype, segmentation)


def _choices(chosen: argparse.Namespace, client: Client) -> list[tuple[str, int | None, str]]:
    """Name, layer and profile of each output; the name of a single one is empty."""
    if chosen.layers:
        depth = client.info().layers
        numbers = _layers(chosen.layers, depth)
        return [(f"layer_{number}", number, chosen.profile) for number in numbers]
    profiles = [part.strip() for part in chosen.profile.split(",") if part.strip()]
    if len(profiles) > 1:
        return [(profile, chosen.layer, profile) for profile in dict.fromkeys(profiles)]
    return [("", chosen.layer, chosen.profile)]


def _layers(text: str, depth: int) -> list[int]:
    """The layers of `--layers`, counted from the input.

    >>> _layers("2,-1,2", 6), _layers("all", 2)
    ([2, 6], [0, 1, 2])
    """
    if text == "all":
        return list(range(depth + 1))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or any(not -depth - 1 <= number <= depth for number in numbers):
        raise InvalidArgument(
            f"`--layers` must be `all`, or numbers up to {depth} with commas between them, "
            f"but is {text!r}",
            field="layers",
        )
    return list(dict.fromkeys(number % (depth + 1) for number in numbers))


def _fill(
    spool: Spool,
    client: Client,
    wanted: Wanted,
    entries: Sequence[Entry],
    *,
    as_json: bool,
) -> int:
    """Embed what the spool has not; the exit code."""
    known = len(spool.entries)
    if known:
        say(f"going on after {known} of {len(entries)} files")
    told, started = Told(), time.perf_counter()
    found = answers(client, [Path(entry.path) for entry in entries[known:]], wanted)
    with progress() as bar:
        shown = bar.add_task("embedding", total=len(entries), completed=known)
        for entry, answer in zip(entries[known:], found, strict=True):
            done = _store(spool, entry, answer)
            if done.error:
                say(f"{done.path}: {done.error}")
            elif isinstance(answer, Embedding):
                told.warnings.update(warning.code.value for warning in answer.warnings)
            if as_json and not done.error:
                emit(_described(done, answer, spool))
            told.seconds += done.seconds
            bar.advance(shown)
    spool.commit()
    return _say_end(spool, told, time.perf_counter() - started)


def _store(spool: Spool, entry: Entry, answer: Answer) -> Entry:
    """Keep the rows of an answer; the entry as it is journaled."""
    if isinstance(answer, EmbedsvcError):
        done = _failed(entry, answer)
    elif isinstance(answer, Embedding):
        spans = answer.outputs[0].segments or (answer.outputs[0].span,)
        rows = spool.append(answer.outputs, spans)
        done = replace(entry, rows=rows, seconds=answer.seconds, digest=answer.digest)
    else:
        try:
            rows = samples = 0
            for window in answer:
                rows += spool.append(window.embedding.outputs, (window.span,))
                samples = window.span.end
            done = replace(entry, rows=rows, seconds=samples / SAMPLE_RATE)
        except EmbedsvcError as error:
            if not is_of_one(error):
                raise
            done = _failed(entry, error)
    spool.finish(done)
    return done


def _failed(entry: Entry, error: EmbedsvcError) -> Entry:
    return replace(entry, error=str(error), reason=error.reason)


def _entries(items: Sequence[SoundFile]) -> list[Entry]:
    """The items as they are journaled; the id is the name below the folder, if no other has it."""
    names = Counter(item.name for item in items)
    return [
        Entry(
            str(item.path),
            item.name if names[item.name] == 1 else str(item.path),
            item.size,
            item.modified,
        )
        for item in items
    ]


def _described(done: Entry, answer: Answer, spool: Spool) -> dict[str, Any]:
    if isinstance(answer, Embedding):
        return described(done.path, answer)
    assert spool.facts is not None
    space = next(iter(spool.facts.spaces.values()))
    return {
        "path": done.path,
        "seconds": done.seconds,
        "frames": done.rows,
        "shape": [done.rows, space.dim],
        "space": space_fields(space),
        "warnings": [],
        "digest": "",
    }


def _publish(spool: Spool, output: Path, write: Write, columns: Mapping[str, Column]) -> Contents:
    """Write what was gathered beside `output`, and give it the name when all of it is there."""
    contents = spool.contents(columns)
    draft = spool.folder / f"whole{output.suffix}"
    write(draft, contents)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(output)
    sync_directory(output.parent)
    say(f"wrote {len(contents.entries)} to {output}")
    return contents


def _show(contents: Contents) -> None:
    """The arrays, for people."""
    facts = contents.facts
    kind = "frames" if facts.frames else "vectors"
    table(
        "Features",
        ("array", "rows>", "dimensions>", "space"),
        [
            (facts.key(kind, name), *rows.shape, facts.spaces[name].fingerprint)
            for name, rows in contents.rows.items()
        ],
    )


def _say_end(spool: Spool, told: Told, seconds: float) -> int:
    failed = sum(1 for entry in spool.entries if entry.error)
    noticed = "".join(f", {count} {code}" for code, count in sorted(told.warnings.items()))
    pace = told.seconds / seconds if seconds else 0.0
    say(
        f"{len(spool.entries) - failed} embedded, {failed} failed{noticed}, in {seconds:.1f} s: "
        f"{pace:.0f} seconds of audio a second"
    )
    return 1 if failed else 0
