"""`embedsvc evaluate moments`: is it found when a word is said in a long recording.

Real clips are spliced to long recordings, so that it is known when each is heard. Clips that are
in none of them are searched with. The model runs in this process: layers and rates of codes are
compared, and cepstra with the same alignment beside them.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsvc.cli.output import progress, say, table
from embedsvc.errors import InvalidArgument
from embedsvc.types import MomentMethod

if TYPE_CHECKING:
    from embedsvc.encoder import Encoder
    from embedsvc.evaluation.moments import Archive, Outcome, Sound, System
    from embedsvc.evaluation.speech import Row
    from embedsvc.evaluation.spliced import Plan, Question

LENGTHS = (6.0, 1.5)
"""Seconds of the segments that are compared."""


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("moments", help="is the moment found at which a word is said?")
    parser.add_argument("--speech", type=Path, required=True, metavar="DIR", help="sets of speech")
    parser.add_argument("--model", default="mini", help="bundled name, directory or Hub name")
    parser.add_argument("--layers", nargs="+", type=int, metavar="L", help="default: the model's")
    parser.add_argument(
        "--rates", nargs="+", type=float, default=[12.5], metavar="HZ", help="25 and its parts"
    )
    parser.add_argument(
        "--reach", nargs="+", type=float, metavar="S", help="seconds whose mean is taken away"
    )
    parser.add_argument("--minutes", type=float, default=60, help="of a recording (default: 60)")
    parser.add_argument("--hours", type=float, help="of the archive at most (default: all)")
    parser.add_argument(
        "--queries", type=int, default=40, help="of each task and set at most (default: 40)"
    )
    parser.add_argument(
        "--surrounded", action="store_true", help="put other clips before and after what is asked"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Splice, pass through the encoder, ask and show."""
    # Imported here: only this command needs an encoder, which is slow to import.
    from embedsvc.evaluation.moments import measure
    from embedsvc.evaluation.spliced import plan
    from embedsvc.pipeline import loading

    encoder = loading.load(chosen.model, chosen.threads)
    layers = chosen.layers or [encoder.defaults.layer]
    made = plan(_rows(chosen.speech), chosen.queries)
    archive = _archive(encoder, made, layers, chosen)
    questions = _questions(encoder, made, layers, surrounded=chosen.surrounded)
    outcomes: list[Outcome] = []
    systems = list(_systems(encoder, archive, layers, chosen))
    with progress() as bar:
        for name, system in bar.track(systems, description="searching"):
            outcomes += measure(name, system, archive, questions)
    _show(outcomes, archive)
    if chosen.json is not None:
        text = json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
        chosen.json.write_text(text + "\n", encoding="utf-8")
    return 0


def _rows(folder: Path) -> "Sequence[Row]":
    """Clips that no model of the package was trained on."""
    from embedsvc.evaluation.speech import read_speech

    rows = [row for row in read_speech(folder) if not row.trainable]
    if not rows:
        raise InvalidArgument(f"`--speech` must hold clips that are not for training: {folder}")
    return rows


def _archive(
    encoder: "Encoder", made: "Plan", layers: Sequence[int], chosen: argparse.Namespace
) -> "Archive":
    from embedsvc.evaluation.moments import Archive, heard
    from embedsvc.evaluation.spliced import recordings
    from embedsvc.timing import SAMPLE_RATE

    sounds, placed = [], []
    seconds = 0.0
    with progress() as bar:
        shown = bar.add_task("listening", total=len(made.rows))
        for samples, clips in recordings(made.rows, chosen.minutes):
            sounds.append(heard(encoder, samples, layers, LENGTHS))
            placed.append(tuple(clips))
            bar.advance(shown, len(clips))
            seconds += len(samples) / SAMPLE_RATE
            if chosen.hours is not None and seconds >= chosen.hours * 3600:
                break
    return Archive(tuple(sounds), tuple(placed))


def _questions(
    encoder: "Encoder", made: "Plan", layers: Sequence[int], *, surrounded: bool
) -> "list[tuple[Question, Sound]]":
    from embedsvc.audio import Door, decode
    from embedsvc.evaluation.moments import heard

    clips = [decode(each.row.path.read_bytes(), Door()).samples for each in made.questions]
    if surrounded:
        clips = [
            np.concatenate([clips[place - 2], clip, clips[place - 1]])
            for place, clip in enumerate(clips)
        ]
    asked = [heard(encoder, clip, layers, (0.0,)) for clip in clips]
    return list(zip(made.questions, asked, strict=True))


def _systems(
    encoder: "Encoder", archive: "Archive", layers: Sequence[int], chosen: argparse.Namespace
) -> "Iterator[tuple[str, System]]":
    """Everything that is compared, from what there was to what was made for it."""
    from embedsvc.evaluation import moments
    from embedsvc.moments import REACH_SECONDS

    align = MomentMethod.ALIGNMENT
    for length in LENGTHS:
        yield f"segments of {length:g} s", moments.segments(archive, length)
    reaches = chosen.reach or [REACH_SECONDS]
    for kind in (moments.CEPSTRA, *(f"layer {layer}" for layer in layers)):
        for rate in chosen.rates:
            for reach in reaches:
                coded = moments.coding(archive, kind, rate, reach)
                name = f"{kind}, {rate:g} Hz" + (f", {reach:g} s" if len(reaches) > 1 else "")
                yield f"{name}: aligned everywhere", moments.everywhere(coded, align)
    main = moments.kept(archive, moments.fitted(encoder, layers[0]))
    yield "codes as they are kept: aligned everywhere", moments.everywhere(main, align)
    for length in LENGTHS:
        near = moments.near(archive, length, main, align)
        yield f"segments of {length:g} s, then aligned", near
    for method in (MomentMethod.LOCAL, MomentMethod.MAX_SIM):
        yield f"{method.value} everywhere", moments.everywhere(main, method)


def _show(outcomes: "Sequence[Outcome]", archive: "Archive") -> None:
    columns = (
        "system",
        "queries>",
        "MTWV>",
        "@1>",
        "@10>",
        "R@1>",
        "R@10>",
        "overlap>",
        "half>",
        "ms>",
    )
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        of_task = [outcome for outcome in outcomes if outcome.task == task]
        rows = [
            (
                each.system,
                each.queries,
                f"{each.mtwv:.3f}",
                f"{each.first:.1%}",
                f"{each.ten:.1%}",
                f"{each.recording_first:.1%}",
                f"{each.recording_ten:.1%}",
                f"{each.overlap:.2f}",
                f"{each.overlapping:.0%}",
                f"{each.milliseconds:.0f}",
            )
            for each in of_task
        ]
        one, ten = of_task[0].chance
        say(f"{task}: by chance R@1 is {one:.1%} and R@10 {ten:.1%}")
        table(f"Said again by {task}", columns, rows)
    say(f"{len(archive.sounds)} recordings, {archive.seconds / 3600:.2f} hours")
