"""`embedsvc bench streams`: live streams in real time, how far behind they are and how many fit."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import count, listed, positive
from embedsvc.cli.output import say
from embedsvc.types import StreamMode

if TYPE_CHECKING:
    from embedsvc.bench.streams import Load, Streamed, Way

_OFFLINE_SECONDS = 60.0
_TURNS = 5


def add(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """The command and its flags."""
    parser = what.add_parser("streams", help="live transcription in real time")
    parser.add_argument("--model", default="mini", help="mini, a directory, or OWNER/NAME")
    parser.add_argument("--threads", type=count, default=1, help="of the server (default: 1)")
    parser.add_argument(
        "--interval",
        type=listed(positive),
        default=[0.5, 1.0, 2.0],
        metavar="S,...",
        help="of mode recompute (default: 0.5,1,2)",
    )
    parser.add_argument(
        "--lookahead",
        type=listed(positive),
        default=[0.2, 0.4, 0.8],
        metavar="S,...",
        help="of mode lookahead (default: 0.2,0.4,0.8)",
    )
    parser.add_argument(
        "--step", type=positive, default=0.4, metavar="S", help="of mode lookahead (default: 0.4)"
    )
    parser.add_argument(
        "--streams",
        type=listed(count),
        metavar="N,...",
        help="streams at once (default: as many as keep within --bound)",
    )
    parser.add_argument(
        "--bound",
        type=positive,
        default=1.0,
        metavar="S",
        help="that 95 %% of interims may lag behind what they heard (default: 1)",
    )
    parser.add_argument("--limit", type=count, default=64, help="of streams (default: 64)")
    parser.add_argument(
        "--seconds", type=positive, default=20.0, help="of each stream (default: 20)"
    )
    return parser


def measure(chosen: argparse.Namespace) -> "tuple[dict[str, Any], Streamed]":
    """What is played, and what came of it."""
    from embedsvc.bench import streams
    from embedsvc.client.process import ServerProcess

    with tempfile.TemporaryDirectory(prefix="embedsvc-bench-") as folder:
        flags = ["--model", chosen.model, "--threads", str(chosen.threads)]
        with ServerProcess(Path(folder) / "data", flags) as server:
            offline = _offline(server.target)
            found = []
            for way in _ways(chosen):
                player = _Player(chosen, way, server.target, server.pid)
                if chosen.streams:
                    loads = tuple(map(player.play, chosen.streams))
                    best = max((each.streams for each in loads if _fits(each, chosen)), default=0)
                else:
                    best, loads = streams.most(player.play, chosen.bound, chosen.limit)
                found.append(streams.Capacity(way.name, best, loads))
    names = ("model", "threads", "seconds", "bound")
    what = {"what": _what(chosen), **{name: getattr(chosen, name) for name in names}}
    return what, streams.Streamed(offline, tuple(found))


def _ways(chosen: argparse.Namespace) -> "list[Way]":
    from embedsvc.bench.streams import Way

    return [
        *(Way(StreamMode.RECOMPUTE, each) for each in chosen.interval),
        *(Way(StreamMode.LOOKAHEAD, chosen.step, each) for each in chosen.lookahead),
    ]


def _fits(load: "Load", chosen: argparse.Namespace) -> bool:
    return not load.failed and load.lag.get("p95", 0.0) <= chosen.bound


class _Player:
    """Plays streams to a server on this machine."""

    def __init__(self, chosen: argparse.Namespace, way: "Way", target: str, pid: int) -> None:
        self._chosen = chosen
        self._way = way
        self._target = target
        self._pid = pid

    def play(self, count: int) -> "Load":
        """So many at once."""
        from embedsvc.bench import memory, speech, streams

        say(f"{self._way.name}: {count} streams of {self._chosen.seconds:g} s")
        waves = speech.of_lengths([self._chosen.seconds] * count)
        wall, cpu = time.perf_counter(), memory.cpu_seconds(self._pid)
        played = asyncio.run(streams.play(self._target, self._way, waves))
        used = (memory.cpu_seconds(self._pid) - cpu) / (time.perf_counter() - wall)
        return streams.load(self._way, played, used)


def _offline(target: str) -> float:
    """The median of a few recordings."""
    from embedsvc.bench import speech, streams
    from embedsvc.bench.figures import percentile

    waves = speech.of_lengths([_OFFLINE_SECONDS] * _TURNS)
    return percentile([asyncio.run(streams.offline(target, each)) for each in waves], 50)


def _what(chosen: argparse.Namespace) -> str:
    return (
        f"{chosen.model}, a server with {chosen.threads} threads and this client on one machine; "
        f"streams of {chosen.seconds:g} s of the clips of the package, in tenths of a second as "
        "they would be spoken, each begun at a moment of its own; an interim lags from when what "
        "it heard was spoken, a word from its end in the speech until it is told to stay; as many "
        f"as have 95 % of interims within {chosen.bound:g} s"
    )
