"""The service under load: beside the bare engine when saturated, and with callers who just come."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedsvc.bench import bare, memory, speech
from embedsvc.bench.arrivals import poisson
from embedsvc.bench.calls import Totals
from embedsvc.bench.child import Child
from embedsvc.bench.figures import Spread
from embedsvc.bench.load import OK, Utterance, closed_loop, open_loop, queue_stats
from embedsvc.client.process import ServerProcess
from embedsvc.errors import Unavailable
from embedsvc.types import Floats

UTTERANCES = 64
"""Stretches of speech that are sent, in turn or drawn; each time with other bytes."""

SERVICE = "service"
_REST = 1.0
"""Seconds between loads, in which the server ends what it has."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """How to load: `callers` who wait for answers to saturate, then those who just come.

    Each round has a turn of `turn_seconds` for everybody. `loads` are shares of the capacity that
    is found and `rates` utterances a second, each for `seconds`.
    """

    waves: Sequence[Floats]
    rounds: int
    turn_seconds: float
    seconds: float
    callers: int
    deadline: float
    loads: Sequence[float] = ()
    rates: Sequence[float] = ()
    seed: int = 0


@dataclass(frozen=True)
class Saturated:
    """Audio seconds a second of engine and service by turns, and what share is reached.

    `codes` counts the statuses of all calls. `client_cpu` and `server_cpu` are processor seconds of
    both in a second of service; None for a server elsewhere, of which there is no engine either.
    """

    paces: dict[str, Spread]
    shares: dict[str, Spread]
    codes: dict[str, int]
    client_cpu: float
    server_cpu: float | None


@dataclass(frozen=True)
class Loaded:
    """One open load: how it was asked for, what came of it, and the server's memory meanwhile.

    `queue` is what the server tells of its queue since its start, if it does; processor seconds are
    as for `Saturated`, up to the last answer.
    """

    load: float | None
    rate: float
    seconds: float
    totals: Totals
    queue: dict[str, float]
    client_cpu: float
    server_cpu: float | None
    memory: Sequence[tuple[float, int]] = field(default=(), repr=False)


@dataclass(frozen=True)
class Results:
    """All that was measured of a server."""

    capacity: float
    saturated: Saturated
    loaded: tuple[Loaded, ...]


class Bench:
    """A server, elsewhere or in a process of its own, and beside the latter the bare engine."""

    def __init__(self, asked: Asked, tell: Tell) -> None:
        self._asked = asked
        self._tell = tell
        self._utterances = [Utterance.of(wave) for wave in asked.waves]
        self._stack = ExitStack()
        self._target = ""
        self._pid: int | None = None
        self._engine: Child | None = None

    def reach(self, target: str) -> None:
        """Measure a server elsewhere."""
        self._target = target

    def start(self, engine: bare.Engine, scratch: Path) -> None:
        """Measure a server on this machine, which is started, beside its engine."""
        self._tell("starting the server and the bare engine")
        flags = ["--model", engine.model, "--threads", str(engine.threads)]
        flags += ["--precision", engine.precision]
        with ExitStack() as stack:  # one that started ends when the other cannot
            server = stack.enter_context(ServerProcess(scratch / "data", flags))
            child = Child(scratch / "engine.log", bare.answer, engine, list(self._asked.waves))
            self._engine = stack.enter_context(child)
            self._target, self._pid = server.target, server.pid
            self._stack = stack.pop_all()

    def run(self) -> Results:
        """Saturate it, then load it in every way that was asked for; ends what was started."""
        with self._stack:
            self._warm_up()
            saturated = self._saturate()
            capacity = saturated.paces[SERVICE].median
            mean = sum(each.seconds for each in self._utterances) / len(self._utterances)
            plans: list[tuple[float | None, float]] = [
                *((load, load * capacity / mean) for load in self._asked.loads),
                *((None, rate) for rate in self._asked.rates),
            ]
            loaded = tuple(self._load(*plan) for plan in plans)
        return Results(capacity, saturated, loaded)

    def _warm_up(self) -> None:
        """Raises `Unavailable` for a server that answers nothing."""
        calls = asyncio.run(closed_loop(self._target, self._utterances, self._asked.callers, 0.5))
        codes = {call.code for call in calls}
        if OK not in codes:
            raise Unavailable(f"the server at {self._target} answers {', '.join(sorted(codes))}")

    def _saturate(self) -> Saturated:
        """Engine, engine with features, service; each round begins with another of them."""
        parts = [bare.ENCODER, bare.WHOLE, SERVICE] if self._engine else [SERVICE]
        paces: dict[str, list[float]] = {part: [] for part in parts}
        meter = _Meter(self._pid)
        for number in range(self._asked.rounds):
            turn = number % len(parts)
            for part in parts[turn:] + parts[:turn]:
                self._tell(f"saturated, round {number + 1} of {self._asked.rounds}: {part}")
                paces[part].append(self._pace(part, meter))
        return Saturated(
            paces={part: Spread.of(values) for part, values in paces.items()},
            shares={
                part: Spread.of([of / by for of, by in zip(paces[SERVICE], values, strict=True)])
                for part, values in paces.items()
                if part != SERVICE
            },
            codes=dict(meter.codes),
            client_cpu=meter.client_share,
            server_cpu=meter.server_share,
        )

    def _pace(self, part: str, meter: "_Meter") -> float:
        asked = self._asked
        if self._engine and part != SERVICE:
            return float(self._engine.ask(part, asked.turn_seconds))
        loop = closed_loop(self._target, self._utterances, asked.callers, asked.turn_seconds)
        with meter.running():
            totals = Totals.of(asyncio.run(loop), asked.turn_seconds)
        meter.codes.update(totals.codes)
        return totals.goodput

    def _load(self, load: float | None, rate: float) -> Loaded:
        asked = self._asked
        share = "" if load is None else f", {load:g} of capacity"
        self._tell(f"{rate:.2f} utterances a second for {asked.seconds:g} s{share}")
        time.sleep(_REST)
        arrivals = poisson(rate, asked.seconds, len(self._utterances), asked.seed)
        loop = open_loop(self._target, self._utterances, arrivals, asked.deadline)
        meter = _Meter(self._pid)
        with ExitStack() as stack:
            watch = stack.enter_context(memory.Watch(self._pid)) if self._pid else None
            with meter.running():
                totals = Totals.of(asyncio.run(loop), asked.seconds)
            time.sleep(_REST)
        return Loaded(
            load=load,
            rate=rate,
            seconds=asked.seconds,
            totals=totals,
            queue=queue_stats(self._target),
            client_cpu=meter.client_share,
            server_cpu=meter.server_share,
            memory=watch.samples if watch else (),
        )


class _Meter:
    """Seconds of the clock, of this process and of the server's while it is loaded."""

    def __init__(self, pid: int | None) -> None:
        self.wall = self.client = self.server = 0.0
        self.codes: Counter[str] = Counter()
        self._pid = pid

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, client, server = self._now()
        yield
        after = self._now()
        self.wall += after[0] - wall
        self.client += after[1] - client
        self.server += after[2] - server

    @property
    def client_share(self) -> float:
        """Processor seconds a second of this process."""
        return self.client / self.wall

    @property
    def server_share(self) -> float | None:
        """The same of the server's; None for one elsewhere."""
        return None if self._pid is None else self.server / self.wall

    def _now(self) -> tuple[float, float, float]:
        server = 0.0 if self._pid is None else memory.cpu_seconds(self._pid)
        return time.perf_counter(), time.process_time(), server


def waves(seed: int) -> list[Floats]:
    """Speech of mixed lengths to send."""
    return speech.of_lengths(speech.mixed_lengths(UTTERANCES, seed))
