"""What commands print: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from embedsvc.types import Span


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def emit(value: dict[str, Any]) -> None:
    """One result for programs: a JSON object on a line of stdout."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if printable(text) != text:  # the bytes of a name that is not UTF-8
        text = json.dumps(value, allow_nan=False)
    print(text, flush=True)


def printable(text: str) -> str:
    r"""Text that any terminal takes; bytes of a name that are not UTF-8 become \xNN.

    >>> printable("caf\udce9"), printable("café")
    ('caf\\xe9', 'café')
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Results for people; a column whose name ends in `>` is aligned right."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        right = column.endswith(">")
        shown.add_column(column.rstrip(">"), justify="right" if right else "left")
    for row in rows:
        shown.add_row(*(printable(str(cell)) for cell in row))
    console().print(shown)


def console() -> Console:
    """Stdout, made anew so that it is the one of the moment; wide where there is no terminal."""
    width = None if sys.stdout.isatty() else 110
    # Names of files are shown as they are, also with [brackets] and :colons:.
    return Console(width=width, highlight=False, markup=False, emoji=False)


def progress() -> Progress:
    """A progress bar on stderr, that stays out of files."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),  # a notebook forces color, and is no terminal
    )


def span_text(span: Span) -> str:
    """A span as people read it.

    >>> span_text(Span(0, 24_000))
    '0.00-1.50 s'
    """
    start, end = span.seconds
    return f"{start:.2f}-{end:.2f} s"
