"""`embedsvc index`: sound files into a collection; run it again to go on."""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from embedsvc import filters
from embedsvc.cli import connection, flags, sound_files, tables
from embedsvc.cli.output import emit, progress, say
from embedsvc.cli.search import condition
from embedsvc.client import AddedRecording, Client, Collection, ServerInfo
from embedsvc.client.audible import SMALL_BYTES
from embedsvc.errors import AudioTooLong, EmbedsvcError, FailedPrecondition, InvalidArgument
from embedsvc.types import (
    CollectionInfo,
    Line,
    Metadata,
    MetadataValue,
    OutputSpec,
    Pooling,
    TextHead,
)

TRANSCRIPT_PHONES = "transcript:phones"
"""What is named among heads for a collection to keep phones of transcripts."""

BATCH_ITEMS = 32
IN_FLIGHT = 3
"""Batches on their way at once: one is decoded and one encoded while one is written."""


@dataclass(frozen=True)
class Item:
    """A file, the id it gets and what is known about it."""

    path: Path
    id: str
    metadata: Metadata
    size: int
    transcript: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are the transcript and its language, None where none is."""

    text: str | None = None
    language: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """Those that are named."""
        return tuple(name for name in (self.text, self.language) if name is not None)

    def lines(self, row: Mapping[str, MetadataValue]) -> tuple[Line, ...]:
        """The transcript in a row, one line for the whole recording, or none."""
        text = "" if self.text is None else str(row.get(self.text, ""))
        language = "" if self.language is None else str(row.get(self.language, ""))
        return (Line.untimed(text, language),) if text.split() else ()


NO_COLUMNS = Columns()


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser(
        "index",
        help="add sound files to a collection",
        description="Adds files and whole folders. The id of a recording is its path below the "
        "folder given. Files that are stored unchanged are left alone, so an interrupted run "
        "is simply run again.",
    )
    parser.add_argument("collection", metavar="COLLECTION", help="made when it is not there")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
    parser.add_argument("--metadata", type=Path, metavar="FILE", help=".tsv, .csv or .jsonl")
    parser.add_argument(
        "--transcript-column",
        metavar="NAME",
        help="column of --metadata with what is said; a new collection keeps it, for `search "
        "--text`",
    )
    parser.add_argument(
        "--language-column",
        metavar="NAME",
        help="column with the language of the transcripts: a new collection keeps their phones, to "
        "find what is spelled otherwise; needs espeak-ng where the server runs",
    )
    parser.add_argument(
        "--only", type=condition, metavar="EXPR", help="only files whose metadata meet this filter"
    )
    parser.add_argument("--layer", type=int, help="of a new collection (default: model's)")
    parser.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling if pooling is not Pooling.NONE],
        help="of a new collection (default: model's)",
    )
    parser.add_argument(
        "--moments",
        action="store_true",
        help="a new collection keeps codes of frames, for `search --moments`",
    )
    flags.add_texts(parser)
    parser.add_argument("--projection", help="of a new collection (default: model's)")
    parser.add_argument("--profile", default="", help="of a new collection, instead of these three")
    parser.add_argument(
        "--space",
        action="append",
        type=flags.space,
        default=[],
        metavar="NAME=PROFILE",
        help="a space of a new collection, to search by name; may be repeated",
    )
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Index every file; those that fail are named and do not stop the others."""
    spoken = Columns(chosen.transcript_column, chosen.language_column)
    items = select(chosen.paths, chosen.metadata, chosen.only, spoken)
    if not items:
        say("no sound files found")
        return 1
    started = time.perf_counter()
    counts: Counter[str] = Counter()
    with connection.connect(chosen) as client:
        collection = _collection(client, chosen)
        with progress() as bar:
            for result in results(client, collection, items, bar):
                counts[_kind(result)] += 1
                if result.error is not None:
                    say(f"{result.id}: {result.error}")
                if chosen.json:
                    emit(_described(result))
    say(
        f"{chosen.collection}: {counts['stored']} stored, {counts['unchanged']} unchanged, "
        f"{counts['failed']} failed, in {time.perf_counter() - started:.1f} s"
    )
    return 1 if counts["failed"] else 0


def _collection(client: Client, chosen: argparse.Namespace) -> Collection:
    """The collection, made as the flags say if it is not there."""
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    vectors = OutputSpec("", chosen.layer, pooling, chosen.projection, profile=chosen.profile)
    if chosen.space and vectors != OutputSpec():
        raise InvalidArgument("`--space` needs no --layer, --pooling, --projection or --profile")
    collection = client.create_collection(
        chosen.collection,
        vectors=None if chosen.space else vectors,
        spaces=chosen.space,
        moments=chosen.moments,
        texts=_texts(chosen),
        exist_ok=True,
    )
    _check_kept(collection, chosen)
    names = [each.name for each in collection.spaces]
    if chosen.space and [each.name for each in chosen.space] != names:
        raise FailedPrecondition(
            f"`--space` is for new collections, but {chosen.collection!r} was made with "
            f"{', '.join(filter(None, names)) or 'one without a name'}",
            field="spaces",
        )
    return collection


def _texts(chosen: argparse.Namespace) -> bool | list[str]:
    """What a new collection keeps of texts: of heads, of transcripts, and phones of these."""
    if chosen.language_column is not None:
        return list(dict.fromkeys([*(chosen.texts or ()), TRANSCRIPT_PHONES]))
    return chosen.texts or chosen.transcript_column is not None


def _check_kept(collection: Collection, chosen: argparse.Namespace) -> None:
    """Raise FailedPrecondition where a collection that is there keeps less than is asked for."""
    info = collection.info()
    for field, needs, kept in (
        ("texts", "is for new collections", info.texts),
        ("transcript_column", "needs a collection with texts", info.texts),
        ("language_column", "is for new collections", _sounding(info)),
        ("moments", "is for new collections", info.moments),
    ):
        if getattr(chosen, field) not in (None, False) and kept is None:
            raise FailedPrecondition(
                f"`--{field.replace('_', '-')}` {needs}, but {chosen.collection!r} was made "
                "without",
                field=field,
            )


def _sounding(info: CollectionInfo) -> TextHead | None:
    heads = () if info.texts is None else info.texts.heads
    return next((head for head in heads if head.name == TRANSCRIPT_PHONES), None)


def select(
    paths: Sequence[Path],
    metadata: Path | None,
    only: filters.Filter | None,
    spoken: Columns = NO_COLUMNS,
) -> list[Item]:
    """The files to index, each with its metadata, and the transcript of a column if one is named.

    The filter may ask for the transcript as well, though it is not stored as metadata.
    """
    rows = _rows(metadata, spoken)
    items: dict[str, Item] = {}
    for path, name in _files(paths):
        known = tables.matching(rows, name) or {}
        if only is not None and not filters.matches(only, known):
            continue
        if name in items:
            raise InvalidArgument(f"two files would both be {name!r}: {items[name].path}, {path}")
        labels = {field: value for field, value in known.items() if field != spoken.text}
        items[name] = Item(path, name, labels, path.stat().st_size, spoken.lines(known))
    return list(items.values())


def _rows(metadata: Path | None, spoken: Columns) -> tables.Rows:
    if spoken.text is None:
        if spoken.language is not None:
            raise InvalidArgument("`--language-column` needs --transcript-column")
        return {} if metadata is None else tables.read(metadata)
    if metadata is None:
        raise InvalidArgument("`--transcript-column` needs --metadata")
    rows = tables.read(metadata, texts=spoken.named)
    for flag, column in (("transcript", spoken.text), ("language", spoken.language)):
        if column is not None and not any(column in row for row in rows.values()):
            raise InvalidArgument(
                f"`--{flag}-column` must be a column of {metadata.name} with texts in it, "
                f"but is {column!r}"
            )
    return rows


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        if not path.is_dir() and not path.is_file():
            raise InvalidArgument(f"`{path}` must be a file or folder, but is not there")
        yield from sound_files.inside(path)


def results(
    client: Client, collection: Collection, items: Sequence[Item], bar: Progress
) -> Iterator[AddedRecording]:
    """What became of each item, as it becomes known."""
    shown = bar.add_task(f"indexing {collection.name}", total=len(items))
    batches = _batches(items, client.info())
    running: set[Future[list[AddedRecording]]] = set()
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        try:
            for batch in batches:
                running.add(threads.submit(_store, collection, batch))
                if len(running) >= IN_FLIGHT:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from _collected(done, bar, shown)
            yield from _collected(wait(running).done, bar, shown)
        finally:
            for future in running:
                future.cancel()


def _collected(
    done: set[Future[list[AddedRecording]]], bar: Progress, shown: object
) -> Iterator[AddedRecording]:
    for future in done:
        for result in future.result():
            bar.advance(shown)  # type: ignore[arg-type]  # rich's own type
            yield result


def _batches(items: Sequence[Item], info: ServerInfo) -> Iterator[list[Item]]:
    """Small files together, up to one message; a large one alone."""
    limit = min(BATCH_ITEMS, info.max_batch_items)
    max_bytes = min(SMALL_BYTES, info.max_request_bytes // 2)
    batch: list[Item] = []
    size = 0
    for item in items:
        own = item.size + sum(len(line.text.encode()) for line in item.transcript)
        if batch and (len(batch) == limit or size + own > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += own
    if batch:
        yield batch


def _store(collection: Collection, batch: Sequence[Item]) -> list[AddedRecording]:
    if len(batch) == 1:
        return [_store_one(collection, batch[0])]
    stored = collection.add_batch(
        [(item.id, item.path, item.metadata) for item in batch],
        skip_unchanged=True,
        transcripts={item.id: item.transcript for item in batch},
    )
    return [
        _store_one(collection, item) if isinstance(result.error, AudioTooLong) else result
        for item, result in zip(batch, stored, strict=True)
    ]


def _store_one(collection: Collection, item: Item) -> AddedRecording:
    try:
        return collection.add(
            item.id, item.path, item.metadata, skip_unchanged=True, transcript=item.transcript
        )
    except EmbedsvcError as error:
        return AddedRecording(item.id, error, (), unchanged=False, segment_count=0)


def _kind(result: AddedRecording) -> str:
    if result.error is not None:
        return "failed"
    return "unchanged" if result.unchanged else "stored"


def _described(result: AddedRecording) -> dict[str, object]:
    return {
        "id": result.id,
        "outcome": _kind(result),
        "segments": result.segment_count,
        "warnings": [warning.code.value for warning in result.warnings],
        "error": None if result.error is None else str(result.error),
        "reason": None if result.error is None else result.error.reason,
    }
