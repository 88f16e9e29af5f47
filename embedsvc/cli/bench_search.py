"""`embedsvc bench search`: how fast a collection answers, and whether it finds what is there."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import count
from embedsvc.cli.output import say

if TYPE_CHECKING:
    from embedsvc.bench.search import Searched, Vectors


def add(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """The command and its flags."""
    parser = what.add_parser("search", help="the index, with and without filters")
    parser.add_argument(
        "--vectors", type=count, default=20_000, metavar="N", help="how many (default: 20000)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--dim",
        type=count,
        metavar="D",
        help="random vectors of D dimensions; else those of mini of bundled clips, with noise",
    )
    source.add_argument("--npz", type=Path, metavar="FILE", help="its array `vectors` (N, D)")
    parser.add_argument("--queries", type=count, default=200, metavar="Q", help="default: 200")
    parser.add_argument("--rounds", type=count, default=3, help="of all queries (default: 3)")
    return parser


def measure(chosen: argparse.Namespace) -> "tuple[dict[str, Any], Searched]":
    """What is searched, and what came of it."""
    from embedsvc.bench import search

    vectors = _vectors(chosen)
    with tempfile.TemporaryDirectory(prefix="embedsvc-bench-") as folder:
        searched = search.measure(vectors, Path(folder), chosen.rounds, say)
    what = {
        "what": (
            f"{searched.vectors:,} vectors of {searched.dim}, {vectors.about}; "
            f"{len(vectors.queries)} queries, {chosen.rounds} rounds by turns of the filters; "
            "recall against plain arithmetic over all vectors"
        ),
        "queries": len(vectors.queries),
        "rounds": chosen.rounds,
    }
    return what, searched


def _vectors(chosen: argparse.Namespace) -> "Vectors":
    from embedsvc.bench import search

    if chosen.npz:
        return search.of_file(chosen.npz, chosen.queries)
    if chosen.dim:
        return search.of_dim(chosen.vectors, chosen.queries, chosen.dim)
    return search.of_speech(chosen.vectors, chosen.queries)
