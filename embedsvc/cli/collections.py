"""`embedsvc collections`: list, show and delete collections."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from embedsvc.cli import connection, flags
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.client import Collection
from embedsvc.feature_files import space_fields
from embedsvc.timing import to_seconds
from embedsvc.types import CollectionInfo, IndexInfo, SpaceInfo, TransformRecipe


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("collections", help="list, show, make or delete collections")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, takes_name, text in (
        ("list", False, "all collections (the default)"),
        ("show", True, "one collection and its spaces"),
        ("create", True, "an empty collection"),
        ("delete", True, "one collection and all it holds"),
        ("fit", True, "a transform on what it holds, to search through"),
        ("unfit", True, "search vectors as they are again"),
    ):
        # With defaults of its own, an action would undo the flags before it.
        action = actions.add_parser(name, help=text, argument_default=argparse.SUPPRESS)
        if takes_name:
            action.add_argument("collection", metavar="COLLECTION")
        if name == "create":
            _add_choices(action)
        if name == "fit":
            _add_recipe(action)
        if name in {"fit", "unfit"}:
            action.add_argument("--space", metavar="NAME", help="of several (default: the first)")
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
            case "create":
                client.create_collection(
                    chosen.collection,
                    spaces=getattr(chosen, "spaces", ()),
                    moments=getattr(chosen, "moments", False),
                    texts=getattr(chosen, "texts", getattr(chosen, "transcripts", False)),
                )
                _show([client.collection(chosen.collection).info()], as_json=chosen.json)
            case "fit":
                _fit(client.collection(chosen.collection), chosen)
            case "unfit":
                client.collection(chosen.collection).unfit(space=_space(chosen))
                say(f"{_titled(chosen.collection, _space(chosen))} is searched as it is")
            case "show":
                _show([client.collection(chosen.collection).info()], as_json=chosen.json)
            case _:
                _show(client.collections(), as_json=chosen.json)
    return 0


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """What a new collection is like. Without defaults, as all flags of an action."""
    parser.add_argument(
        "--space",
        dest="spaces",
        action="append",
        type=flags.space,
        metavar="NAME=PROFILE",
        help="a space to search by name, such as phonetic=phonetic; may be repeated",
    )
    parser.add_argument(
        "--moments", action="store_true", help="keep codes of frames, for `search --moments`"
    )
    flags.add_texts(parser)
    parser.add_argument(
        "--transcripts", action="store_true", help="keep transcripts that come with recordings"
    )


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
            space=_space(chosen),
            tell=lambda now: bar.update(
                task, description=now.step or "waiting", completed=now.done, total=now.total or None
            ),
        )
    if chosen.json:
        emit(_described(info))
        return
    (there,) = (
        each for each in info.spaces if each.name == (_space(chosen) or info.spaces[0].name)
    )
    assert there.fitted is not None
    say(
        f"{_titled(info.name, there.name)} is searched through transform {there.fitted.version}, "
        f"{there.space.dim} to {there.fitted.dim} dimensions, "
        f"fitted on {there.fitted.segments:,} segments"
    )


def _space(chosen: argparse.Namespace) -> str:
    name: str = getattr(chosen, "space", "")
    return name


def _titled(collection: str, space: str) -> str:
    """A space of a collection, for people."""
    return f"{collection} in {space}" if space else collection


def _show(infos: list[CollectionInfo], *, as_json: bool) -> None:
    if as_json:
        for info in infos:
            emit(_described(info))
        return
    rows = [row for info in infos for row in _rows(info)]
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
        for each in info.spaces:
            if each.index and each.index.reason:
                name = _titled(info.name, each.name)
                say(f"{name}: all segments are scored: {each.index.reason}")


def _rows(info: CollectionInfo) -> Iterator[tuple[object, ...]]:
    """A row for each space; what is of the whole collection stands in the first."""
    cut = f"{to_seconds(info.segmentation.length):g} s"
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created_at))
    whole: tuple[object, ...] = (info.name, info.recordings, info.segments, cut, made)
    for each in info.spaces:
        name, recordings, segments, cut_shown, made_shown = whole
        yield (
            *(name, recordings, segments, _space_text(each), cut_shown, index_text(each.index)),
            *(each.fitted.version if each.fitted else "", made_shown),
        )
        whole = ("",) * len(whole)


def _described(info: CollectionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "recordings": info.recordings,
        "segments": info.segments,
        "sequence": info.sequence,
        "space": space_fields(info.space),
        "spaces": [_described_space(each) for each in info.spaces],
        "texts": None if info.texts is None else [head.name for head in info.texts.heads],
        "segment_seconds": to_seconds(info.segmentation.length),
        "hop_seconds": to_seconds(info.segmentation.hop),
        "index": None if info.index is None else asdict(info.index),
        "created_at": info.created_at,
        "transform": asdict(info.fitted) if info.fitted else None,
    }


def _described_space(info: SpaceInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "space": space_fields(info.space),
        "index": None if info.index is None else asdict(info.index),
        "transform": asdict(info.fitted) if info.fitted else None,
    }


def _space_text(info: SpaceInfo) -> str:
    what = f"{info.space.model} layer {info.space.layer} {info.space.pooling}"
    return f"{info.name}: {what}" if info.name else what


def index_text(index: IndexInfo | None) -> str:
    """The recipe, and what it finds when that is not all."""
    if index is None or index.recall == 1:
        return index.recipe if index else ""
    return f"{index.recipe}, recall {index.recall:.1%}"
