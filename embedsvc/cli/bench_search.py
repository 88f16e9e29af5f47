"""`embedsvc bench search`: how fast a collection answers, and whether it finds what is there."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import count
from embedsvc.cli.output import say

if TYPE_CHECKING:
    from embedsvc.bench.search import Searched
    from embedsvc.bench.vectors import Vectors

DEFAULT = 20_000
RIVALS = ("hnswlib", "usearch", "milvus-lite")


def add(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """The command and its flags."""
    parser = what.add_parser("search", help="the index, with and without filters")
    parser.add_argument(
        "--vectors",
        type=count,
        metavar="N",
        help="how many (default: 20000, or all of --npz)",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--dim",
        type=count,
        metavar="D",
        help="random vectors of D dimensions; else those of mini of bundled clips, with noise",
    )
    source.add_argument(
        "--npz",
        type=Path,
        metavar="FILE",
        help="its array `vectors` (N, D), and `queries` (Q, D) if there is one",
    )
    source.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="vectors of mini of all seconds of the sound files in folders of DIR",
    )
    parser.add_argument("--save", type=Path, metavar="FILE.npz", help="keep the vectors, for --npz")
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="STORE",
        choices=RIVALS,
        help=f"others, where they are installed: {', '.join(RIVALS)}",
    )
    parser.add_argument("--queries", type=count, default=200, metavar="Q", help="default: 200")
    parser.add_argument("--rounds", type=count, default=3, help="of all queries (default: 3)")
    return parser


def measure(chosen: argparse.Namespace) -> "tuple[dict[str, Any], Searched]":
    """What is searched, and what came of it."""
    from embedsvc.bench import search

    vectors = _vectors(chosen)
    with tempfile.TemporaryDirectory(prefix="embedsvc-bench-") as folder:
        searched = search.measure(vectors, Path(folder), chosen.rounds, chosen.against, say)
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
    from embedsvc.bench import vectors

    wanted = chosen.vectors or DEFAULT
    if chosen.npz:
        found = vectors.of_file(chosen.npz, chosen.vectors, chosen.queries)
    elif chosen.dim:
        found = vectors.of_dim(wanted, chosen.queries, chosen.dim)
    elif chosen.speech:
        found = vectors.of_recordings(chosen.speech, wanted, chosen.queries, say)
    else:
        found = vectors.of_speech(wanted, chosen.queries)
    if chosen.save:
        vectors.save(found, chosen.save)
    return found
