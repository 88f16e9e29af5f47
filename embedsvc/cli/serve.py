"""`embedsvc serve`: the server, until a signal."""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli import flags
from embedsvc.cli.output import emit, say
from embedsvc.errors import InvalidArgument

if TYPE_CHECKING:
    from embedsvc.service.server import Server


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("serve", help="run the server")
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="where to listen (default: 127.0.0.1:50051)"
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="where collections are kept")
    parser.add_argument("--model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        type=_head,
        metavar="NAME=MODEL[:LANG,LANG]",
        help="also write with the CTC head of this model (w2v-BERT, wav2vec 2.0, MMS); "
        "may be given again",
    )
    parser.add_argument(
        "--projections",
        metavar="FILE",
        type=Path,
        help="further projections, such as `embedsvc align train` makes",
    )
    parser.add_argument(
        "--language-model",
        dest="language_models",
        metavar="HEAD=PATH",
        type=flags.named_path,
        action="append",
        help="a folder with a language model or lexicon.txt, or one such file, for a CTC head; "
        "may be given again",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu (the default), cuda or cuda:N")
    parser.add_argument(
        "--precision", metavar="PRECISION", help="fp32 (the default), bf16, int8, auto: the fastest"
    )
    parser.add_argument(
        "--runtime", metavar="RUNTIME", help="torch (the default), or onnxruntime for an export"
    )
    parser.add_argument("--threads", metavar="N", type=int, help="threads of the encoder")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    parser.add_argument("--json", action="store_true", help="announce the address as JSON")
    parser.set_defaults(run=run)


def _head(text: str) -> tuple[str, str]:
    """Name and model of a head.

    >>> _head("mms=facebook/mms-1b-all:deu,swh")
    ('mms', 'facebook/mms-1b-all:deu,swh')
    """
    name, sign, model = text.partition("=")
    if not (name and sign and model):
        raise argparse.ArgumentTypeError(f"must be NAME=MODEL, but is {text!r}")
    return name, model


def _heads(pairs: list[tuple[str, str]]) -> dict[str, str]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument(f"`--head` must name each head once, but names {name!r} again")
    return dict(pairs)


def run(chosen: argparse.Namespace) -> int:
    """Serve until a signal."""
    from embedsvc import settings, telemetry

    telemetry.configure(chosen.log_level)
    tree: dict[str, Any] = {
        "data": chosen.data,
        "server": {"address": chosen.address},
        "model": {
            "name": chosen.model,
            "heads": _heads(chosen.head),
            "projections": chosen.projections,
            "language_models": dict(chosen.language_models or ()) or None,
            "threads": chosen.threads,
            "device": chosen.device,
            "precision": chosen.precision,
            "runtime": chosen.runtime,
        },
    }
    loaded = settings.load(tree)
    from embedsvc.service.server import serve  # slow: it brings torch

    telemetry.event("starting", settings=loaded.model_dump(mode="json"))

    def ready(server: "Server") -> None:
        address = server.address
        telemetry.event("serving", address=address)
        if chosen.json:
            emit({"event": "serving", "address": address})
        else:
            say(
                f"serving {loaded.model.name} on {address}; try: embedsvc doctor --target {address}"
            )

    asyncio.run(serve(loaded, ready))
    return 0
