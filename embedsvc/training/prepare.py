"""Make a feature corpus to train on, out of texts that are synthesized and recordings.

    python -m embedsvc.training.prepare --texts TEXT_DIR --speech SPEECH_DIR --out DIR

TEXT_DIR holds ntrex128, tatoeba, udhr and bible; SPEECH_DIR sets of recordings with an index.tsv
each. The same seed, texts and versions give the same bytes, however many workers there are. A run
that was stopped goes on where it was.
"""

import argparse
import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.training import corpus, espeak, recordings, speakers, synthetic, texts
from embedsvc.training.languages import PIVOT, languages
from embedsvc.training.shards import Made, Progress, Task, make_all
from embedsvc.training.utterances import MIX, Pool, pools

FEW_LINES = 200
PIVOT_WEIGHT = 4.0
FEW_WEIGHT = 0.6
"""Share of a language with few lines beside one with many: it repeats itself."""

OTHER_SHARE = 0.128
"""Part of the hours that is left to other synthesizers, shared evenly by their voices."""

SECONDS_A_CLIP = 2.6
SHARDS = "shards"


@dataclass(frozen=True)
class Plan:
    """Where texts and recordings lie, and how much to make of them.

    Raises `InvalidArgument` for hours that cannot be made.
    """

    texts: Path
    speech: Path
    hours: float = 60.0
    workers: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.hours < math.inf:
            raise InvalidArgument(f"`--hours` must be positive and finite, but is {self.hours}")


def prepare(plan: Plan, out: Path, progress: Progress) -> dict[str, Any]:
    """Write the corpus to `out`, and give back its manifest.

    Raises `FailedPrecondition` when espeak-ng, texts or recordings are missing.
    """
    version = espeak.version()
    texts.require(plan.texts)
    found = find_pools(plan)
    tasks = [
        *espeak_tasks(plan, found, version),
        *other_tasks(plan, found),
        *recorded_tasks(plan, version),
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / corpus.MANIFEST).unlink(missing_ok=True)
    made = make_all(tasks, out / SHARDS, plan.workers, progress)
    corpus.join([each.path for each in made if each.path], out)
    manifest = _manifest(plan, out, made, version)
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    whole = out / f".{corpus.MANIFEST}.new"
    whole.write_text(text, encoding="utf-8")
    whole.rename(out / corpus.MANIFEST)  # at once: a corpus with a manifest is complete
    shutil.rmtree(out / SHARDS)
    return manifest


def find_pools(plan: Plan) -> list[Pool]:
    """What each language may say."""
    known = {language: texts.read(plan.texts, language) for language in languages()}
    each_seconds = plan.hours * 3600 / len(known)
    wanted = each_seconds * MIX["parallel"] / sum(MIX.values()) / SECONDS_A_CLIP
    return pools(known, round(wanted))


def espeak_tasks(plan: Plan, found: Sequence[Pool], version: str) -> list[Task]:
    """A task for each language, each with its share of the hours."""
    seconds = plan.hours * 3600 * (1 - OTHER_SHARE)
    unit = seconds / sum(_weight(pool) for pool in found)
    return [
        Task(
            f"{synthetic.SYNTHESIZER}-{pool.language.code}",
            synthetic.make,
            synthetic.Order(pool, unit * _weight(pool), plan.seed, version),
        )
        for pool in found
    ]


def other_tasks(plan: Plan, found: Sequence[Pool]) -> list[Task]:
    """A task for each voice of another synthesizer that is installed."""
    pool_of = {pool.language.code: pool for pool in found}
    seconds = plan.hours * 3600 * OTHER_SHARE / len(speakers.speakers())
    tasks = []
    for speaker in speakers.speakers():
        version = speakers.version(speaker)
        if not version:
            continue
        pool = pool_of[speaker.language]
        own = replace(pool, language=replace(pool.language, voices=(speaker.name,)))
        order = synthetic.OtherOrder(own, speaker, seconds, plan.seed, version)
        tasks.append(Task(f"{speaker.program}-{speaker.name}", synthetic.make_other, order))
    return tasks


def recorded_tasks(plan: Plan, version: str) -> list[Task]:
    """A task for each set with recordings to train on."""
    return [
        Task(
            f"recordings-{folder.name}",
            recordings.make,
            recordings.Order(folder, corpus.digest(folder / recordings.INDEX), version),
        )
        for folder in recordings.sets(plan.speech)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the corpus, with a line for each shard on the error stream."""
    parser = argparse.ArgumentParser(description="make a feature corpus to train on")
    parser.add_argument("--texts", type=Path, required=True, metavar="TEXT_DIR")
    parser.add_argument("--speech", type=Path, required=True, metavar="SPEECH_DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--hours", type=float, default=60.0, help="of synthetic speech")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    plan = Plan(options.texts, options.speech, options.hours, options.workers, options.seed)
    try:
        manifest = prepare(plan, options.out, _say)
    except FailedPrecondition as error:
        parser.error(error.message)
    sys.stdout.write(json.dumps(manifest["totals"], indent=1) + "\n")


def _weight(pool: Pool) -> float:
    if pool.language.code == PIVOT:
        return PIVOT_WEIGHT
    return FEW_WEIGHT if len(pool.lines) < FEW_LINES else 1.0


def _manifest(plan: Plan, out: Path, made: Sequence[Made], version: str) -> dict[str, Any]:
    clips = list(corpus.read_clips(out / corpus.CLIPS))
    others = {speaker: speakers.version(speaker) for speaker in speakers.speakers()}
    faults: Counter[str] = Counter()
    for each in made:
        faults.update(each.counts)
    return {
        "config": {"hours": plan.hours, "seed": plan.seed},
        "versions": {
            "espeak-ng": version,
            **{each.program: known for each, known in others.items() if known},
            "numpy": np.__version__,
            "soxr": soxr.__version__,
        },
        "sha256": {name: corpus.digest(out / name) for name in (corpus.CLIPS, corpus.FEATURES)},
        "totals": {
            "clips": len(clips),
            "seconds": round(sum(clip.frames for clip in clips) / 100, 2),
            "languages": len({clip.language for clip in clips}),
            "groups": len({clip.group for clip in clips if clip.group}),
        },
        "corpora": _table(clips, "corpus"),
        "synthesizers": _table(clips, "synthesizer"),
        "languages": _table(clips, "language"),
        "faults": {name: count for name, count in sorted(faults.items()) if name != "clips"},
        "absent": [f"{each.program} {each.name}" for each, known in others.items() if not known],
        "left_out": {each.name: each.left_out for each in made if each.left_out},
        "failed": {each.name: each.fault for each in made if not each.path},
    }


def _table(clips: Sequence[corpus.Clip], column: str) -> dict[str, dict[str, float]]:
    """Clips and seconds by a column."""
    counts: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for clip in clips:
        value = getattr(clip, column)
        counts[value] += 1
        frames[value] += clip.frames
    return {
        value: {"clips": counts[value], "seconds": round(frames[value] / 100, 2)}
        for value in sorted(counts)
    }


def _say(name: str, done: int, total: int) -> None:
    sys.stderr.write(f"{done}/{total} {name}\n")


if __name__ == "__main__":
    main()
