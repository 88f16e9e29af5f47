"""`embedsvc embed`: vectors or frames of sound files."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from embedsvc.cli import connection, export, sound_files
from embedsvc.cli.described import described
from embedsvc.cli.flags import positive
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.client import Client, Embedding
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.types import DType, OutputSpec, Pooling

HEAD = 3
"""Numbers of a vector that the table shows."""

OF_FILES = ("layers", "segments", "hop", "dtype", "metadata", "restart")
"""Flags that only mean something with `--output`."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser(
        "embed",
        help="embed sound files",
        description="Embeds files and whole folders, in the order given. With --output a run that "
        "was interrupted is simply run again: it goes on where it was.",
    )
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="files or folders")
    layers = parser.add_mutually_exclusive_group()
    layers.add_argument("--layer", type=int, help="0 is the input, -1 the last (default: model's)")
    layers.add_argument(
        "--layers", metavar="N,N,...", help="several layers, or `all`; each is an array of --output"
    )
    parser.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling],
        help="frames to one vector, or none to keep them (default: model's)",
    )
    parser.add_argument("--projection", help="of the model (default: model's; empty for none)")
    parser.add_argument(
        "--profile",
        default="",
        help="instead of these three, such as semantic; several with commas for --output",
    )
    _add_files(parser)
    connection.add_channels(parser)
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files of features")
    files.add_argument(
        "--output", type=Path, metavar="FILE", help="write features to FILE.npz or FILE.parquet"
    )
    files.add_argument(
        "--metadata", type=Path, metavar="FILE", help=".tsv, .csv or .jsonl, with a column path"
    )
    files.add_argument(
        "--segments", type=positive, metavar="SECONDS", help="a row for each part of this length"
    )
    files.add_argument(
        "--hop", type=positive, metavar="SECONDS", help="between starts of parts (default: half)"
    )
    files.add_argument(
        "--dtype",
        choices=[dtype.value for dtype in DType],
        help="of the numbers (default: float32 for vectors, float16 for frames)",
    )
    files.add_argument(
        "--restart", action="store_true", help="do not go on with what was begun, begin anew"
    )


def run(chosen: argparse.Namespace) -> int:
    """Embed each file; those that fail do not stop the others."""
    if chosen.output is not None:
        return export.run(chosen)
    for flag in OF_FILES:
        if getattr(chosen, flag):
            raise InvalidArgument(f"`--{flag}` must be beside `--output`, but is alone", field=flag)
    rows: list[tuple[object, ...]] = []
    space = ""
    paths = [found.path for found in sound_files.found(chosen.audio)]
    with connection.connect(chosen) as client:
        for path, answer in _answers(client, chosen, paths):
            if isinstance(answer, EmbedsvcError):
                say(f"{path}: {answer}")
                continue
            rows.append(_row(path, answer))
            space = answer.space.fingerprint
            for warning in answer.warnings:
                say(f"{path}: {warning.message}")
            if chosen.json:
                emit({**described(str(path), answer), "values": answer.vector.tolist()})
    if not chosen.json and rows:
        table("Embeddings", ("file", "seconds>", "shape", "begins"), rows)
        say(f"space {space}")
    return 0 if rows and len(rows) == len(paths) else 1


def _answers(
    client: Client, chosen: argparse.Namespace, paths: list[Path]
) -> Iterator[tuple[Path, Embedding | EmbedsvcError]]:
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    spec = OutputSpec("", chosen.layer, pooling, chosen.projection, profile=chosen.profile)
    with progress() as bar:
        for path in bar.track(paths, description="embedding"):
            try:
                answer = client.embed(path, outputs=[spec], channels=chosen.channels)
            except EmbedsvcError as error:
                yield path, error
            else:
                yield path, answer


def _row(path: Path, answer: Embedding) -> tuple[object, ...]:
    head = ", ".join(f"{number:+.3f}" for number in answer.vector.ravel()[:HEAD])
    shape = " x ".join(map(str, answer.vector.shape))
    return path.name, f"{answer.seconds:.2f}", shape, f"{head}, ..."
