"""`embedsvc mine` and `embedsvc duplicates`: what belongs together in whole collections."""

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from embedsvc.cli import connection
from embedsvc.cli.output import emit, progress, say, span_text, table
from embedsvc.cli.search import condition
from embedsvc.types import Pair, Place

T = TypeVar("T")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Both commands and their flags."""
    _add_mine(commands)
    _add_duplicates(commands)


def _add_mine(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "mine",
        help="find pairs that say the same in two collections",
        description="Finds translations by margin: pairs that are nearer to each other than to "
        "what else is near. Each segment is in one pair at most. For two parts of one collection, "
        "name it twice, and say with --filter and --other-filter which.",
    )
    parser.add_argument("collection", metavar="A")
    parser.add_argument("other", metavar="B")
    parser.add_argument("--filter", type=condition, metavar="EXPR", help="of A, only these")
    parser.add_argument("--other-filter", type=condition, metavar="EXPR", help="of B, only these")
    parser.add_argument(
        "--min-margin", type=float, default=1.0, metavar="M", help="least margin (default: 1)"
    )
    parser.add_argument(
        "--neighbors",
        type=int,
        default=0,
        metavar="K",
        help="that a margin is over (default: 4)",
    )
    parser.add_argument("--space", default="", metavar="NAME", help="of both (default: the first)")
    parser.add_argument("--other-space", metavar="NAME", help="of B (default: as --space)")
    parser.add_argument("--limit", type=int, metavar="N", help="no more pairs than this")
    connection.add_flags(parser)
    parser.set_defaults(run=mine)


def _add_duplicates(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "duplicates",
        help="find recordings with nearly the same sound",
        description="Finds recordings that are copies of each other, or have parts that are: "
        "recoded, resampled, louder. Another take of the same words is no copy.",
    )
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument("--filter", type=condition, metavar="EXPR", help="only among these")
    parser.add_argument(
        "--space", default="", metavar="NAME", help="of several (default: the first)"
    )
    parser.add_argument(
        "--min-cosine", type=float, default=0.0, metavar="C", help="least cosine (default: 0.85)"
    )
    connection.add_flags(parser)
    parser.set_defaults(run=duplicates)


def mine(chosen: argparse.Namespace) -> int:
    """Print the pairs, the best first."""
    with connection.connect(chosen) as client:
        found = _watched(
            lambda tell: client.collection(chosen.collection).mine(
                client.collection(chosen.other),
                where=chosen.filter,
                other_where=chosen.other_filter,
                min_margin=chosen.min_margin,
                neighbors=chosen.neighbors,
                space=chosen.space,
                other_space=chosen.other_space,
                tell=tell,
            )
        )
        pairs = list(islice(found, chosen.limit))
    if chosen.json:
        for pair in pairs:
            emit(_described(pair))
        return 0
    rows = [
        (f"{pair.margin:.3f}", f"{pair.cosine:.3f}", _shown(pair.left), _shown(pair.right))
        for pair in pairs
    ]
    columns = ("margin>", "cosine>", chosen.collection, chosen.other)
    table(f"{len(pairs):,} pairs", columns, rows)
    return 0


def duplicates(chosen: argparse.Namespace) -> int:
    """Print the groups, each with its best pair."""
    with connection.connect(chosen) as client:
        groups = list(
            _watched(
                lambda tell: client.collection(chosen.collection).duplicates(
                    where=chosen.filter,
                    min_cosine=chosen.min_cosine,
                    space=chosen.space,
                    tell=tell,
                )
            )
        )
    if chosen.json:
        for group in groups:
            emit({"ids": list(group.ids), "pairs": [_described(pair) for pair in group.pairs]})
        return 0
    rows = [
        (len(group.ids), f"{group.pairs[0].cosine:.3f}", "\n".join(group.ids)) for group in groups
    ]
    table(f"{len(groups):,} groups of copies", ("recordings>", "cosine>", "ids"), rows)
    return 0


def _watched(find: Callable[[Callable[[int, int], None]], Iterator[T]]) -> Iterator[T]:
    """What is found, with a bar while everything is compared."""
    with progress() as bar:
        task = bar.add_task("comparing", total=None)
        yield from find(lambda done, total: bar.update(task, completed=done, total=total))
        say(f"compared {int(bar.tasks[0].total or 0):,} segments")


def _shown(place: Place) -> str:
    return f"{place.id} {span_text(place.span)}"


def _described(pair: Pair) -> dict[str, Any]:
    return {
        "margin": pair.margin,
        "cosine": pair.cosine,
        "left": _segment(pair.left),
        "right": _segment(pair.right),
    }


def _segment(place: Place) -> dict[str, Any]:
    start, end = place.span.seconds
    return {"id": place.id, "start": start, "end": end, "metadata": dict(place.metadata)}
