"""The encoder beside others: the same features, by turns, in one run."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from embedsvc.audio import features
from embedsvc.bench import speech
from embedsvc.bench.device import operations
from embedsvc.bench.engines import LIBRARIES, Arm, Job, Shows, Worker
from embedsvc.bench.engines.table import OURS
from embedsvc.bench.figures import Spread
from embedsvc.bench.parity import Parity, every_second_normalized, parity
from embedsvc.encoder.config import EncoderConfig, read_config
from embedsvc.errors import EmbedsvcError, FailedPrecondition
from embedsvc.timing import FRAME_RATE
from embedsvc.types import Floats

MIXED = "mixed"
WARM = 3
"""More untimed passes on a GPU, where libraries choose kernels, and shapes are captured, by use."""

_REFERENCES = ("sdpa", "eager", OURS)
"""Libraries whose float32 the others are measured by, the first that runs."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """Utterances that are encoded together, as features (T, 160)."""

    name: str
    utterances: Sequence[Floats]

    @property
    def seconds(self) -> float:
        """Of audio."""
        return sum(map(len, self.utterances)) / FRAME_RATE

    @property
    def padding(self) -> float:
        """Share of a padded batch that is padding."""
        lengths = [len(each) for each in self.utterances]
        return 1 - sum(lengths) / (max(lengths) * len(lengths))


@dataclass(frozen=True)
class Cell:
    """One engine in one case; `ratio` is its speed in terms of the reference, round by round.

    `operations` are those that the model needs, padding aside.
    """

    case: str
    arm: Arm
    audio_seconds: float
    seconds: Spread
    ratio: Spread
    parity: Parity
    peak: int
    operations: float

    @property
    def speed(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_seconds / self.seconds.median

    @property
    def share(self) -> float | None:
        """Of the rate at which the device multiplies large matrices, where that was measured."""
        rate = self.arm.matrix_rate
        return self.operations / self.seconds.median / rate if rate else None


@dataclass(frozen=True)
class Comparison:
    """All cells; who could not take part, and why."""

    reference: str
    cells: tuple[Cell, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass
class _Runs:
    """What was measured of an engine in a case."""

    parity: Parity
    peak: int
    seconds: list[float] = field(default_factory=list)


def cases(names: Sequence[str], clips: int, seed: int = 0) -> list[Case]:
    """`mixed` for a batch of `clips` utterances of all lengths; else one of so many seconds."""
    found = []
    for name in names:
        lengths = speech.mixed_lengths(clips, seed) if name == MIXED else [float(name)]
        waves = speech.of_lengths(lengths)
        title = f"{clips} of {speech.SHORTEST:g}-{speech.LONGEST:g} s" if name == MIXED else name
        title = title if name == MIXED else f"{float(name):g} s"
        found.append(Case(title, [features(wave).features for wave in waves]))
    return found


def compare(jobs: Sequence[Job], cases: Sequence[Case], rounds: int, tell: Tell) -> Comparison:
    """Load every engine, compare what each gives, then time them by turns."""
    with ExitStack() as stack:
        skipped: list[tuple[str, str]] = []
        workers: dict[str, tuple[Worker, Arm]] = {}
        for job in jobs:
            tell(f"loading {job.library} {job.precision}")
            worker = _start(job, stack, skipped)
            workers |= {arm.name: (worker, arm) for arm in worker.arms} if worker else {}
        if not workers:
            raise FailedPrecondition(f"no engine can run: {'; '.join(why for _, why in skipped)}")
        bench = _Bench(workers, read_config(jobs[0].model), tell)
        cells = [cell for case in cases for cell in bench.cells(case, rounds)]
        return Comparison(bench.reference, tuple(cells), tuple(skipped))


def _start(job: Job, stack: ExitStack, skipped: list[tuple[str, str]]) -> Worker | None:
    name = f"{job.library} {job.precision}"
    missing = LIBRARIES[job.library].missing
    if missing:
        skipped.append((name, f"not installed: {', '.join(missing)}"))
        return None
    try:
        return stack.enter_context(Worker(job))
    except EmbedsvcError as error:
        skipped.append((name, str(error)))
        return None


class _Bench:
    """Workers that are ready, and the engine that all are measured by."""

    def __init__(
        self, workers: dict[str, tuple[Worker, Arm]], config: EncoderConfig, tell: Tell
    ) -> None:
        self._workers = workers
        self._config = config
        self._tell = tell
        self.reference = min(workers, key=lambda name: _rank(workers[name][1]))

    def cells(self, case: Case, rounds: int) -> list[Cell]:
        """Every engine in one case; of one utterance, a loop is the same as a batch."""
        names = [
            name
            for name, (_, arm) in self._workers.items()
            if len(case.utterances) > 1 or not arm.alone
        ]
        # The reference first, since the others are compared with what it gives.
        names.sort(key=lambda name: name != self.reference)
        runs = self._first(case, names)
        for number in range(rounds):
            self._tell(f"{case.name}: round {number + 1} of {rounds}")
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                runs[name].seconds.append(self._workers[name][0].run(name, case.utterances).seconds)
        yardstick = runs[self.reference].seconds
        return [self._cell(case, name, runs[name], yardstick) for name in names]

    def _first(self, case: Case, names: Sequence[str]) -> dict[str, _Runs]:
        """An untimed pass of each, for what it gives and takes."""
        runs: dict[str, _Runs] = {}
        expected: dict[Shows, list[Floats]] = {}
        for name in names:
            self._tell(f"{case.name}: {name}")
            worker, arm = self._workers[name]
            ran = worker.run(name, case.utterances)
            for _ in range(WARM if arm.matrix_rate else 0):
                worker.run(name, case.utterances)
            if not expected:
                half = [every_second_normalized(states) for states in ran.states]
                expected = {Shows.STATES: ran.states, Shows.HALF: half}
            runs[name] = _Runs(parity(expected[arm.shows], ran.states), ran.peak)
        return runs

    def _cell(self, case: Case, name: str, runs: _Runs, yardstick: Sequence[float]) -> Cell:
        ratios = np.divide(yardstick, runs.seconds).tolist()
        return Cell(
            case=case.name,
            arm=self._workers[name][1],
            audio_seconds=case.seconds,
            seconds=Spread.of(runs.seconds),
            ratio=Spread.of(ratios),
            parity=runs.parity,
            peak=runs.peak,
            operations=operations(self._config, [len(each) for each in case.utterances]),
        )


def _rank(arm: Arm) -> tuple[bool, int, bool]:
    """Float32 first, then by library, and a batch before a loop."""
    known = arm.library in _REFERENCES
    place = _REFERENCES.index(arm.library) if known else len(_REFERENCES)
    return arm.precision != "fp32", place, arm.alone
