"""`embedsvc embed`: vectors or frames of sound files."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.cli import connection
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.client import Client, Embedding
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.types import OutputSpec, Pooling, Space

HEAD = 3
"""Numbers of a vector that the table shows."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("embed", help="embed sound files")
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="sound files")
    parser.add_argument("--layer", type=int, help="0 is the input, -1 the last (default: model's)")
    parser.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling],
        help="frames to one vector, or none to keep them (default: model's)",
    )
    parser.add_argument("--projection", help="of the model (default: model's; empty for none)")
    parser.add_argument("--profile", default="", help="instead of these three, such as semantic")
    parser.add_argument("--output", type=Path, metavar="FILE.npz", help="write arrays to a file")
    connection.add_channels(parser)
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Embed each file; those that fail do not stop the others."""
    if chosen.output is not None and not chosen.output.parent.is_dir():
        raise InvalidArgument(f"`--output` must be in a folder that exists, not {chosen.output}")
    done: list[tuple[Path, Embedding]] = []
    with connection.connect(chosen) as client:
        for path, answer in _answers(client, chosen):
            if isinstance(answer, EmbedsvcError):
                say(f"{path}: {answer}")
                continue
            done.append((path, answer))
            for warning in answer.warnings:
                say(f"{path}: {warning.message}")
            if chosen.json:
                emit(_described(path, answer, with_values=chosen.output is None))
    if chosen.output is not None and done:
        write(chosen.output, done)
        say(f"wrote {len(done)} to {chosen.output}")
    if not chosen.json and done:
        table("Embeddings", ("file", "seconds>", "shape", "begins"), map(_row, done))
        say(f"space {done[0][1].space.fingerprint}")
    return 0 if len(done) == len(chosen.audio) else 1


def _answers(
    client: Client, chosen: argparse.Namespace
) -> Iterator[tuple[Path, Embedding | EmbedsvcError]]:
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    spec = OutputSpec("", chosen.layer, pooling, chosen.projection, profile=chosen.profile)
    with progress() as bar:
        for path in bar.track(chosen.audio, description="embedding"):
            try:
                answer = client.embed(path, outputs=[spec], channels=chosen.channels)
            except EmbedsvcError as error:
                yield path, error
            else:
                yield path, answer


def write(path: Path, done: Sequence[tuple[Path, Embedding]]) -> None:
    """Arrays as .npz: `vectors` (n, D), or `frames_0`, `frames_1`, ... of (T, D); `paths`, `space`.

    The file appears whole or not at all.
    """
    arrays: dict[str, Any] = {
        "paths": np.array([str(source) for source, _ in done]),
        "seconds": np.array([answer.seconds for _, answer in done]),
        "space": np.array(json.dumps(space_fields(done[0][1].space))),
    }
    if done[0][1].space.pooling is Pooling.NONE:
        arrays |= {f"frames_{place}": answer.vector for place, (_, answer) in enumerate(done)}
    else:
        arrays["vectors"] = np.stack([answer.vector for _, answer in done])
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            np.savez(file, **arrays)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def space_fields(space: Space) -> dict[str, Any]:
    """A space for JSON."""
    return {
        "fingerprint": space.fingerprint,
        "model": space.model,
        "layer": space.layer,
        "pooling": space.pooling.value,
        "projection": space.projection,
        "normalized": space.normalized,
        "dim": space.dim,
    }


def _described(path: Path, answer: Embedding, *, with_values: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "path": str(path),
        "seconds": answer.seconds,
        "frames": answer.frame_count,
        "shape": list(answer.vector.shape),
        "space": space_fields(answer.space),
        "warnings": [warning.code.value for warning in answer.warnings],
        "digest": answer.digest,
    }
    if with_values:
        described["values"] = answer.vector.tolist()
    return described


def _row(item: tuple[Path, Embedding]) -> tuple[object, ...]:
    path, answer = item
    head = ", ".join(f"{number:+.3f}" for number in answer.vector.ravel()[:HEAD])
    shape = " x ".join(map(str, answer.vector.shape))
    return path.name, f"{answer.seconds:.2f}", shape, f"{head}, ..."
