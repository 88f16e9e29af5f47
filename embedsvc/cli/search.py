"""`embedsvc search`: the moments nearest to a sound file."""

import argparse
from pathlib import Path

from embedsvc import filters
from embedsvc.cli import connection
from embedsvc.cli.output import emit, say, span_text, table
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter
from embedsvc.types import Hit


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("search", help="search a collection by audio")
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="what to look for")
    parser.add_argument("--top-k", type=int, default=10, metavar="K", help="hits (default: 10)")
    parser.add_argument(
        "--filter",
        type=condition,
        metavar="EXPR",
        help="""only where this holds: language = "pol" and not (year < 1990)""",
    )
    parser.add_argument("--min-score", type=float, metavar="S", help="leave out lower scores")
    parser.add_argument(
        "--one-per-recording", action="store_true", help="only the best of each recording"
    )
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def condition(text: str) -> Filter:
    """A filter flag; argparse tells what is wrong with it."""
    try:
        return filters.parse(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(chosen: argparse.Namespace) -> int:
    """Search and print the hits."""
    with connection.connect(chosen) as client:
        found = client.collection(chosen.collection).search(
            chosen.audio,
            top_k=chosen.top_k,
            where=chosen.filter,
            min_score=chosen.min_score,
            one_per_recording=chosen.one_per_recording,
        )
    for warning in found.warnings:
        say(f"{chosen.audio}: {warning.message}")
    if chosen.json:
        for rank, hit in enumerate(found, 1):
            emit(_described(rank, hit))
        return 0
    rows = [
        (rank, f"{hit.score:.3f}", hit.id, span_text(hit.span), labels(hit))
        for rank, hit in enumerate(found, 1)
    ]
    table(f"Nearest to {chosen.audio.name}", ("#>", "score>", "recording", "span", "labels"), rows)
    say(
        f"{found.scanned} segments scored{'' if found.exact else ' approximately'} "
        f"in {found.timing.total * 1e3:.0f} ms"
    )
    return 0


def labels(hit: Hit) -> str:
    """Metadata in one line."""
    return ", ".join(f"{name}={value}" for name, value in sorted(hit.metadata.items()))


def _described(rank: int, hit: Hit) -> dict[str, object]:
    start, end = hit.span.seconds
    return {
        "rank": rank,
        "id": hit.id,
        "score": hit.score,
        "start_seconds": start,
        "end_seconds": end,
        "metadata": dict(hit.metadata),
    }
