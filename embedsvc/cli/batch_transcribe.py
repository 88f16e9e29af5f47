"""`embedsvc transcribe --batch` and `--out`: many files, and results in a folder."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedsvc.cli.output import progress
from embedsvc.client import Client, Transcript
from embedsvc.client.operations import Status
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.types import DecodeOptions


def add_flags(parser: argparse.ArgumentParser) -> None:
    """How many files are sent, and where results go."""
    parser.add_argument(
        "--batch",
        action="store_true",
        help="send all files at once, as one operation that outlives a restart of the server",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="a JSON file in there for each, and no text here"
    )


def transcripts(
    client: Client, chosen: argparse.Namespace, options: DecodeOptions
) -> Iterator[tuple[Path, Transcript | EmbedsvcError]]:
    """What came of each file, in order."""
    with progress() as bar:
        task = bar.add_task("sending", total=len(chosen.audio))

        def tell(now: Status) -> None:
            bar.update(task, description=now.step or "waiting", completed=now.done)

        written = client.transcribe_batch(
            chosen.audio,
            head=chosen.head,
            language=chosen.language,
            options=options,
            channels=chosen.channels,
            tell=tell,
        )
        for each in written:
            found = each.transcript or each.error
            assert found is not None, "it is one or the other"
            yield chosen.audio[each.place], found


class Folder:
    """Keeps each result in a file named as the sound; with a number where a name is taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: set[str] = set()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"`--out` must be a folder, but {path} cannot be one") from error

    def keep(self, source: Path, facts: dict[str, Any]) -> None:
        """Write one result, all of it or none."""
        name, number = source.name, 1
        while name in self._taken:
            number += 1
            name = f"{source.name}-{number}"
        self._taken.add(name)
        draft = self._path / f".{name}.tmp"
        draft.write_text(json.dumps(facts, allow_nan=False, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._path / f"{name}.json")
