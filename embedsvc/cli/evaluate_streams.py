"""`embedsvc evaluate streams`: what live transcription costs in errors, beside a recording.

Clips of a speaker are joined to streams, with pauses between them, and heard in each way in this
process.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsvc import filters
from embedsvc.cli import flags
from embedsvc.cli.evaluate_transcription import known_phones, ready, rows_of
from embedsvc.cli.output import progress, say, table
from embedsvc.cli.search import condition
from embedsvc.ctc import ErrorCounts, count
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.timing import FRAME, to_samples, to_seconds
from embedsvc.types import Floats, StreamMode

if TYPE_CHECKING:
    from embedsvc.encoder import Encoder
    from embedsvc.encoder.ctc import CtcHead
    from embedsvc.evaluation.speech import Row
    from embedsvc.pipeline.live_steps import Plan, Told

_NOISE = 1e-3
"""Amplitude of the noise in pauses: -60 dB of full scale, about that of a quiet room."""


@dataclass(frozen=True)
class Speech:
    """A stream (N,), and what is said in it: phones, or words."""

    samples: Floats
    said: tuple[str, ...]


@dataclass(frozen=True)
class Way:
    """How streams are heard: as recordings without a plan. The latency is of a label at most."""

    name: str
    plan: "Plan | None"
    latency: str


@dataclass(frozen=True)
class Heard:
    """What came of a way: errors, how many stable units a final changed, and the cost.

    `frames` are of the encoder, as a multiple of those of the audio; `seconds` are of the
    processor, for all work.
    """

    name: str
    latency: str
    errors: ErrorCounts
    stable: int
    changed: int
    frames: float
    seconds: float


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("streams", help="what live transcription costs in errors")
    parser.add_argument(
        "sets", nargs="+", type=Path, metavar="DIR", help="folders of clips with an index.tsv"
    )
    parser.add_argument("--model", default="mini", help="bundled name or directory")
    parser.add_argument("--head", default="", metavar="NAME", help="default: the only one")
    parser.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")
    parser.add_argument(
        "--only",
        type=condition,
        default=filters.parse('split = "dev"'),
        metavar="EXPR",
        help="""rows to join (default: split = "dev")""",
    )
    parser.add_argument("--clips", type=flags.count, default=300, help="at most (default: 300)")
    parser.add_argument(
        "--pause", type=flags.positive, default=0.7, metavar="S", help="between (default: 0.7)"
    )
    for name, usual in (("interval", [0.5, 1.0, 2.0]), ("lookahead", [0.2, 0.4, 0.8])):
        parser.add_argument(
            f"--{name}", type=flags.listed(flags.positive), default=usual, metavar="S,..."
        )
    parser.add_argument(
        "--step", type=flags.positive, default=0.4, metavar="S", help="of lookaheads (default: 0.4)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Hear the same streams in each way."""
    encoder, head = ready(chosen)
    spoken = list(_speech(chosen, head))
    if not spoken:
        raise InvalidArgument("`DIR` must have clips whose text is known")
    seconds = sum(to_seconds(len(each.samples)) for each in spoken)
    with progress() as bar:
        found = [
            _heard(way, bar.track(spoken, description=way.name), encoder, head)
            for way in _ways(chosen)
        ]
    rows = [
        (
            each.name,
            each.latency,
            f"{each.errors.rate:.2%}",
            f"{each.changed / each.stable:.1%}" if each.stable else "-",
            f"{each.frames:.1f}",
            f"{each.seconds / seconds:.3f}",
        )
        for each in found
    ]
    columns = ("way", "behind by at most", "errors>", "stable changed>", "frames x>", "CPU s a s>")
    table(f"{len(spoken)} streams of {seconds:.0f} s in all", columns, rows)
    if chosen.json is not None:
        document = {"streams": len(spoken), "seconds": seconds, "ways": list(map(asdict, found))}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        say(f"wrote {chosen.json}")
    return 0


def _ways(chosen: argparse.Namespace) -> list[Way]:
    from embedsvc.pipeline.live_steps import Plan

    ways = [Way("recording", None, "all of it")]
    for each in chosen.interval:
        plan = Plan(interval=to_samples(each) // FRAME * FRAME)
        ways.append(Way(f"recompute, {each:g} s", plan, f"{2 * each:g} s"))
    step = to_samples(chosen.step) // FRAME * FRAME
    for each in chosen.lookahead:
        plan = Plan(StreamMode.LOOKAHEAD, step, to_samples(each) // FRAME * FRAME)
        ways.append(Way(f"lookahead, {each:g} s", plan, f"{chosen.step + each:g} s"))
    return ways


def _speech(chosen: argparse.Namespace, head: "CtcHead") -> Iterator[Speech]:
    """Clips whose text is known, joined by their speakers."""
    from embedsvc.evaluation.embedding import samples_of
    from embedsvc.evaluation.speech import capped
    from embedsvc.evaluation.transcription import said_in

    rows = [row for row in rows_of(chosen) if filters.matches(chosen.only, row.metadata)]
    languages = len({row.language for row in rows}) or 1
    rows = list(capped(rows, -(-chosen.clips // languages)))[: chosen.clips]
    phones = known_phones(head, rows)
    pause = to_samples(chosen.pause)
    random = np.random.default_rng(0)
    for group in _groups(rows):
        parts: list[Floats] = [np.zeros(pause, np.float32)]
        said: list[str] = []
        for row in group:
            _, text = said_in(row, head, phones)
            try:
                samples = samples_of(row) if text else None
            except (EmbedsvcError, OSError):
                samples = None
            if samples is not None:
                parts += [samples, np.zeros(pause, np.float32)]
                said += text.split()
        if said:
            whole = np.concatenate(parts)
            noise = random.standard_normal(len(whole)) * _NOISE
            yield Speech((whole + noise).astype(np.float32), tuple(said))


def _groups(rows: "Sequence[Row]") -> "Iterable[list[Row]]":
    """Rows of the same language and speaker."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.locale, row.speaker), []).append(row)
    return groups.values()


def _heard(way: Way, spoken: Iterable[Speech], encoder: "Encoder", head: "CtcHead") -> Heard:
    from embedsvc.pipeline.replaying import Replay

    replay = Replay(encoder, head)
    errors, stable, changed, samples = ErrorCounts(), 0, 0, 0
    started = time.process_time()
    for each in spoken:
        samples += len(each.samples)
        if way.plan is None:
            heard = [unit for part in replay.recording(each.samples) for unit in part.text.split()]
        else:
            heard, told, lost = _live(replay.live(each.samples, way.plan))
            stable, changed = stable + told, changed + lost
        errors += count(heard, each.said)
    seconds = time.process_time() - started
    frames = replay.frames * FRAME / samples
    return Heard(way.name, way.latency, errors, stable, changed, frames, seconds)


def _live(told: "Iterator[Told]") -> tuple[list[str], int, int]:
    """All finals, how many units were stable before them, and how many of these they changed."""
    from embedsvc.pipeline.live_steps import Final, Interim

    heard: list[str] = []
    before: list[str] = []
    stable = changed = 0
    for each in told:
        if isinstance(each, Interim):
            before = [word.text for word in each.stable]
        elif isinstance(each, Final):
            now = [word.text for segment in each.segments for word in segment.words]
            edits = count(now, before)
            stable, changed = stable + len(before), changed + edits.substituted + edits.deleted
            heard += now
            before = []
    return heard, stable, changed
