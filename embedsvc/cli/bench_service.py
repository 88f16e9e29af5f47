"""`embedsvc bench service`: a server saturated, and under callers who just come."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import count, listed, positive
from embedsvc.cli.output import say
from embedsvc.errors import InvalidArgument
from embedsvc.types import Precision

if TYPE_CHECKING:
    from embedsvc.bench.bare import Engine
    from embedsvc.bench.service import Asked, Results


DEFAULT_LOADS = [0.5, 1.0, 3.0]


def add(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """The command and its flags."""
    parser = what.add_parser("service", help="a server, saturated and under open load")
    parser.add_argument("--target", metavar="HOST:PORT", help="a running server; else a new one")
    parser.add_argument(
        "--model", default="mini", help="mini, a directory, OWNER/NAME, or random-580m"
    )
    parser.add_argument("--layers", type=count, metavar="N", help="of random-580m (default: 24)")
    parser.add_argument(
        "--precision", choices=list(Precision), default="fp32", help="of a new server"
    )
    parser.add_argument("--threads", type=count, default=2, help="of a new server (default: 2)")
    load = parser.add_mutually_exclusive_group()
    load.add_argument(
        "--load",
        type=listed(positive),
        metavar="X,...",
        help="times the capacity that is found (default: 0.5,1,3)",
    )
    load.add_argument(
        "--rate", type=listed(positive), metavar="R,...", help="utterances a second, in its place"
    )
    parser.add_argument("--seconds", type=positive, default=60.0, help="of each load (default: 60)")
    parser.add_argument(
        "--saturate", type=positive, default=20.0, metavar="S", help="of a turn (default: 20)"
    )
    parser.add_argument("--rounds", type=count, default=3, help="of turns (default: 3)")
    parser.add_argument("--callers", type=count, default=8, help="to saturate it (default: 8)")
    parser.add_argument(
        "--deadline", type=positive, default=30.0, metavar="S", help="of a call (default: 30)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of lengths and arrivals (default: 0)")
    return parser


def measure(chosen: argparse.Namespace) -> "tuple[dict[str, Any], Results]":
    """What is loaded and how, and what came of it."""
    from embedsvc.bench import service

    if chosen.target and (chosen.model != "mini" or chosen.layers):
        raise InvalidArgument("`--model` must be left to the server at --target")
    bench = service.Bench(_asked(chosen), say)
    with tempfile.TemporaryDirectory(prefix="embedsvc-bench-") as folder:
        if chosen.target:
            bench.reach(chosen.target)
        else:
            bench.start(_engine(chosen, Path(folder)), Path(folder))
        results = bench.run()
    names = ("target", "model", "layers", "precision", "threads", "callers", "seed")
    return {"what": _what(chosen), **{name: getattr(chosen, name) for name in names}}, results


def _asked(chosen: argparse.Namespace) -> "Asked":
    from embedsvc.bench import service

    return service.Asked(
        waves=service.waves(chosen.seed),
        rounds=chosen.rounds,
        turn_seconds=chosen.saturate,
        seconds=chosen.seconds,
        callers=chosen.callers,
        deadline=chosen.deadline,
        loads=chosen.load or ([] if chosen.rate else DEFAULT_LOADS),
        rates=chosen.rate or [],
        seed=chosen.seed,
    )


def _engine(chosen: argparse.Namespace, scratch: Path) -> "Engine":
    from embedsvc.bench import models
    from embedsvc.bench.bare import Engine

    named: str = chosen.model
    if named == models.RANDOM or chosen.layers is not None:
        named = str(models.directory_of(named, chosen.layers, scratch))
    return Engine(named, chosen.threads, Precision(chosen.precision))


def _what(chosen: argparse.Namespace) -> str:
    from embedsvc.bench import service, speech

    here = f"{chosen.model} in {chosen.precision}, {chosen.threads} threads"
    if chosen.layers:
        here += f", {chosen.layers} layers"
    where = f"the server at {chosen.target}" if chosen.target else here
    return (
        f"{where}; {service.UTTERANCES} different utterances of {speech.SHORTEST:g}-"
        f"{speech.LONGEST:g} s as 16-bit PCM, each asking for the model's own vector; "
        f"{chosen.callers} callers who wait for their answers saturate it by turns with the bare "
        f"engine, {chosen.rounds} rounds of {chosen.saturate:g} s; then callers come at random "
        f"moments for {chosen.seconds:g} s with a deadline of {chosen.deadline:g} s, and latency "
        "counts from when they came; this client runs beside the server"
    )
