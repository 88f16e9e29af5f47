"""`embedsvc evaluate duplicates`: how well copies are told from other recordings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from embedsvc import filters
from embedsvc.cli.output import emit, progress, table
from embedsvc.cli.search import condition
from embedsvc.errors import InvalidArgument

if TYPE_CHECKING:
    from embedsvc.evaluation.copies import Nearness

LEVELS = (0.8, 0.85, 0.9)
THREADS = 2


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser(
        "duplicates",
        help="how well copies are told from others",
        description="Makes copies of recordings (recoded, quieter, noisier, cut), and puts their "
        "cosines beside those of the nearest other recording. The model runs in this process.",
    )
    parser.add_argument("index", type=Path, nargs="+", metavar="INDEX.tsv")
    parser.add_argument(
        "--only", type=condition, default=filters.And(()), metavar="EXPR", help="rows to use"
    )
    parser.add_argument(
        "--most", type=int, default=200, metavar="N", help="rows of each table (default: 200)"
    )
    parser.add_argument("--model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Measure each table, and print it."""
    from embedsvc.evaluation.copies import measure
    from embedsvc.evaluation.embedding import Subject
    from embedsvc.evaluation.speech import read_table
    from embedsvc.pipeline import loading

    if chosen.most < 2:
        raise InvalidArgument(f"`--most` must be 2 or more, but is {chosen.most}")
    encoder = loading.load(chosen.model or "mini")
    subject = Subject(encoder, (encoder.defaults.layer,), None, THREADS)
    for index in chosen.index:
        known = read_table(index, index.parent.name)
        rows = [row for row in known if filters.matches(chosen.only, row.metadata)]
        step = max(1, -(-len(rows) // chosen.most))
        if len(rows[::step]) < 2:
            raise InvalidArgument(f"`INDEX.tsv` must have two rows that meet --only: {index}")
        with progress() as bar:
            task = bar.add_task(index.parent.name, total=None)
            found = list(
                measure(
                    subject,
                    rows[::step],
                    LEVELS,
                    lambda done, total: bar.update(task, completed=done, total=total),  # noqa: B023  # ends with it
                )
            )
        _show(index.parent.name, found, as_json=chosen.json)
    return 0


def _show(name: str, found: "list[Nearness]", *, as_json: bool) -> None:
    if as_json:
        for each in found:
            shares = {str(level): share for level, share in each.shares.items()}
            emit({"measure": "duplicates", "set": name, **vars(each), "shares": shares})
        return
    columns = ("compared with", "least>", "median>", "most>", *(f">= {each}>" for each in LEVELS))
    rows = [
        (
            each.name,
            *(f"{value:.3f}" for value in (each.least, each.median, each.most)),
            *(f"{share:.1%}" for share in each.shares.values()),
        )
        for each in found
    ]
    table(f"{name}: cosines of {found[0].recordings} recordings", columns, rows)
