"""`embedsvc collections`: list, show and delete collections."""

import argparse
import time
from dataclasses import asdict
from typing import Any

from embedsvc.cli import connection
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.client import Collection
from embedsvc.feature_files import space_fields
from embedsvc.timing import to_seconds
from embedsvc.types import CollectionInfo, IndexInfo, TransformRecipe


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("collections", help="list, show or delete collections")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, takes_name, text in (
        ("list", False, "all collections (the default)"),
        ("show", True, "one collection and its space"),
        ("delete", True, "one collection and all it holds"),
        ("fit", True, "a transform on what it holds, to search through"),
        ("unfit", True, "search vectors as they are again"),
    ):
        # With defaults of its own, an action would undo the flags before it.
        action = actions.add_parser(name, help=text, argument_default=argparse.SUPPRESS)
        if takes_name:
            action.add_argument("collection", metavar="COLLECTION")
        if name == "fit":
            _add_recipe(action)
        connection.add_flags(action)
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what is asked."""
    with connection.connect(chosen) as client:
        match chosen.action:
            case "delete":
                client.delete_collection(chosen.collection)
                say(f"deleted {chosen.collection}")
            case "fit":
                _fit(client.collection(chosen.collection), chosen)
            case "unfit":
                client.collection(chosen.collection).unfit()
                say(f"{chosen.collection} is searched as it is")
            case "show":
                _show([client.collection(chosen.collection).info()], as_json=chosen.json)
            case _:
                _show(client.collections(), as_json=chosen.json)
    return 0


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """What to fit. Without defaults, as all flags of an action."""
    parser.add_argument(
        "--language",
        metavar="FIELD",
        help="metadata field that says the language, to take away what all of one language share",
    )
    parser.add_argument("--no-standardize", action="store_true", help="keep unequal variances")
    parser.add_argument("--drop", type=int, metavar="N", help="leading components to leave out")
    parser.add_argument(
        "--whiten", action="store_true", help="give every direction the same weight"
    )
    parser.add_argument("--dim", type=int, metavar="N", help="dimensions to keep")


def _fit(collection: Collection, chosen: argparse.Namespace) -> None:
    recipe = TransformRecipe(
        language=getattr(chosen, "language", ""),
        standardize=not getattr(chosen, "no_standardize", False),
        drop=getattr(chosen, "drop", 0),
        whiten=getattr(chosen, "whiten", False),
        dim=getattr(chosen, "dim", None),
    )
    with progress() as bar:
        task = bar.add_task("waiting", total=None)
        info = collection.fit(
            recipe,
            tell=lambda now: bar.update(
                task, description=now.step or "waiting", completed=now.done, total=now.total or None
            ),
        )
    assert info.fitted is not None
    if chosen.json:
        emit(_described(info))
    else:
        say(
            f"{info.name} is searched through transform {info.fitted.version}, "
            f"{info.space.dim} to {info.fitted.dim} dimensions, "
            f"fitted on {info.fitted.segments:,} segments"
        )


def _show(infos: list[CollectionInfo], *, as_json: bool) -> None:
    if as_json:
        for info in infos:
            emit(_described(info))
        return
    rows = [
        (
            info.name,
            info.recordings,
            info.segments,
            f"{info.space.model} layer {info.space.layer} {info.space.pooling}",
            f"{to_seconds(info.segmentation.length):g} s",
            index_text(info.index),
            info.fitted.version if info.fitted else "",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created_at)),
        )
        for info in infos
    ]
    columns = (
        "collection",
        "recordings>",
        "segments>",
        "space",
        "segment",
        "index",
        "transform",
        "created",
    )
    table("Collections", columns, rows)
    for info in infos:
        if info.index and info.index.reason:
            say(f"{info.name}: all segments are scored: {info.index.reason}")


def _described(info: CollectionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "recordings": info.recordings,
        "segments": info.segments,
        "sequence": info.sequence,
        "space": space_fields(info.space),
        "segment_seconds": to_seconds(info.segmentation.length),
        "hop_seconds": to_seconds(info.segmentation.hop),
        "index": None if info.index is None else asdict(info.index),
        "created_at": info.created_at,
        "transform": asdict(info.fitted) if info.fitted else None,
    }


def index_text(index: IndexInfo | None) -> str:
    """The recipe, and what it finds when that is not all."""
    if index is None or index.recall == 1:
        return index.recipe if index else ""
    return f"{index.recipe}, recall {index.recall:.1%}"
