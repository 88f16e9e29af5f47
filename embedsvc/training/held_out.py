"""Make the speech that a model is evaluated on: lines that are never trained on, and some that are.

    python -m embedsvc.training.held_out TEXT_DIR OUT

OUT gets FLAC files and an index.tsv with the columns of the sets of recordings, and `phones`. Rows
of split `train` say text that a model may have heard, to fit probes on; those of split `dev` do
not, and about half of them are in variants of the voices that are never trained on. Rows labeled
`parallel` say the same lines in several languages.
"""

import argparse
import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

import soundfile

from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.timing import SAMPLE_RATE
from embedsvc.training import espeak, texts
from embedsvc.training.espeak import Espeak, Voice
from embedsvc.training.languages import PIVOT, Language, languages
from embedsvc.training.rendering import SECONDS, Fault, Sound, render
from embedsvc.training.shards import Job, Made, Progress, Task, make_all
from embedsvc.training.utterances import (
    KEPT_VARIANTS,
    LEAD_SAMPLES,
    RATES,
    TAIL_SAMPLES,
    VARIANTS,
    Utterance,
    chunk,
    random_voice,
)

PROBE_CLIPS = 160
DEV_CLIPS = 14
CHUNK, PARALLEL, NAME = "chunk", "parallel", "name"
PARALLEL_LANGUAGES = (
    "eng", "deu", "nld", "spa", "por", "ita", "fra", "rus", "ukr", "ces", "slk", "hin", "urd",
    "ind", "msa", "swe", "nob", "fin", "est", "cmn", "tur", "swa",
)  # fmt: skip
PARALLEL_LINES = 100
PARALLEL_LETTERS = 115
PARALLEL_SECONDS = (0.35, 8.5)
PARALLEL_RATES = range(210, 301)
TRAINING_RATES = range(180, 291)
USUAL_VARIANTS = tuple(dict.fromkeys(VARIANTS))[:16]
"""Variants to train on that are also heard in the evaluation."""

TRIES_A_CLIP = 8
LICENSE, LICENSE_CLASS = "CC-BY-SA-4.0", "cc-by-sa"
"""Of the texts, and so of what is made from them."""

INDEX = "index.tsv"
ROWS = "rows.jsonl"
COLUMNS = (
    "path", "split", "language", "speaker", "label", "transcript", "seconds", "group", "licence",
    "licence_class", "source", "phones",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Some clips of a language: `most` that fit, of the `lines` that are said."""

    split: str
    label: str
    lines: tuple[texts.Line, ...]
    most: int


@dataclass(frozen=True)
class Order:
    """What a language is to say, planned from `seed`, by a version of espeak-ng."""

    language: Language
    parts: tuple[Part, ...]
    seed: int
    version: str


@dataclass(frozen=True)
class Extent:
    """How much is made: `languages` of ISO 639-3 or all, and `clips` of kept texts in each.

    Raises InvalidArgument for a language that is not synthesized.
    """

    languages: tuple[str, ...] = ()
    clips: int | None = None

    def __post_init__(self) -> None:
        known = {language.code for language in languages()}
        if unknown := sorted(set(self.languages) - known):
            raise InvalidArgument(
                f"`--languages` must be of those that are synthesized, but has {unknown[0]!r}"
            )


ALL = Extent()


def hold_out(
    folder: Path, out: Path, seed: int, progress: Progress, extent: Extent = ALL
) -> dict[str, int]:
    """Write the clips and their index to `out`; clips by split and label, and faults, counted.

    Raises `FailedPrecondition` when espeak-ng or texts are missing.
    """
    version = espeak.version()
    texts.require(folder)
    return speak(list(orders(folder, seed, version, extent)), out, progress)


def speak(orders: Sequence[Order], out: Path, progress: Progress) -> dict[str, int]:
    """Have all languages say what is ordered, and write clips and index to `out`; counts."""
    tasks = [Task(order.language.code, make, order) for order in orders]
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    made = make_all(tasks, out / "clips", 2, progress)
    _write_index(out, made)
    return dict(sum((each.counts for each in made), Counter[str]()))


def orders(folder: Path, seed: int, version: str, extent: Extent = ALL) -> Iterator[Order]:
    """What each language is to say."""
    most = DEV_CLIPS if extent.clips is None else extent.clips
    known = {language: texts.read(folder, language) for language in languages()}
    lines = next(each.evaluation for language, each in known.items() if language.code == PIVOT)
    ntrex = [line for line in lines if line.group.startswith("ntrex:")]
    short = [line.group for line in ntrex if len(line.text) <= PARALLEL_LETTERS][:PARALLEL_LINES]
    for language, each in known.items():
        if extent.languages and language.code not in extent.languages:
            continue
        parts = [
            Part("train", CHUNK, each.training, PROBE_CLIPS),
            Part("dev", CHUNK, each.evaluation, most),
        ]
        if language.code in PARALLEL_LANGUAGES:
            shared = tuple(line for line in each.evaluation if line.group in short)
            parts.append(Part("dev", PARALLEL, shared, len(shared)))
        yield Order(language, tuple(parts), seed, version)


def make(job: Job, order: Order) -> None:
    """Write the clips of a language, and a file with their rows."""
    synthesizer = Espeak()
    counts: Counter[str] = Counter()
    numbers = count()
    with (job.partial / ROWS).open("w", encoding="utf-8") as rows:
        for part in order.parts:
            kept = f"{part.split} {part.label}"
            for utterance in _plan(order, part):
                if counts[kept] >= part.most:
                    break
                number = next(numbers)
                if job.is_left_out(number):
                    continue
                spoken = synthesizer.speak(utterance.text, utterance.voice)
                seconds = PARALLEL_SECONDS if part.label == PARALLEL else SECONDS
                sound = render(spoken, utterance, order.language.code, seconds)
                if isinstance(sound, Fault):
                    counts[sound] += 1
                    continue
                counts[kept] += 1
                path = job.partial / f"{part.split}-{part.label}-{number:04}.flac"
                soundfile.write(path, sound.samples, SAMPLE_RATE, subtype="PCM_16")
                row = _row(order, part, utterance, sound)
                rows.write(json.dumps([f"{order.language.code}/{path.name}", *row]) + "\n")
    job.complete(counts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, with a line for each language on the error stream."""
    parser = argparse.ArgumentParser(description="make speech to evaluate on")
    parser.add_argument("texts", type=Path, metavar="TEXT_DIR")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        counts = hold_out(options.texts, options.out, options.seed, _say)
    except FailedPrecondition as error:
        parser.error(error.message)
    sys.stdout.write(json.dumps(counts, indent=1, sort_keys=True) + "\n")


def _plan(order: Order, part: Part) -> Iterator[Utterance]:
    """Utterances of a part: its lines in turn when they are parallel, else chunks of any."""
    language = order.language
    random = Random(f"{order.seed}:{language.code}:{part.split}:{part.label}")  # noqa: S311
    if part.label != CHUNK:
        rates = TRAINING_RATES if part.split == "train" else PARALLEL_RATES
        own = language.voices if part.split == "train" else language.voices[:1]
        for line in part.lines:
            voice = random_voice(Language(language.code, own), _half(part, random), rates, random)
            yield _utterance(line.text, line.group, voice, random)
    elif part.lines:
        for _ in range(TRIES_A_CLIP * part.most):
            text = chunk(random.choice(part.lines).text, language, random)
            voice = random_voice(language, _half(part, random), RATES, random)
            if text:
                yield _utterance(text, "", voice, random)


def _half(part: Part, random: Random) -> Sequence[str]:
    """Variants to choose from: never trained on, half of the time, when evaluating."""
    if part.split == "train":
        return VARIANTS
    return KEPT_VARIANTS if random.random() < 0.5 else USUAL_VARIANTS


def _utterance(text: str, group: str, voice: Voice, random: Random) -> Utterance:
    return Utterance(text, group, voice, random.choice(LEAD_SAMPLES), random.choice(TAIL_SAMPLES))


def _row(order: Order, part: Part, utterance: Utterance, sound: Sound) -> tuple[str, ...]:
    """Columns of a clip after its path."""
    voice = utterance.voice
    return (
        part.split, order.language.code, voice.identifier, part.label, utterance.text,
        f"{sound.seconds:.3f}", utterance.group, LICENSE, LICENSE_CLASS,
        f"espeak-ng:{voice.identifier}", " ".join(phone for phone in sound.phones.phones if phone),
    )  # fmt: skip


def _write_index(out: Path, made: Sequence[Made]) -> None:
    """Write the index of all clips; it is there only when it is complete."""
    partial = out / f"{INDEX}.partial"
    with partial.open("w", encoding="utf-8", newline="") as file:
        index = csv.writer(
            file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None
        )
        index.writerow(COLUMNS)
        for each in made:
            rows = (each.path / ROWS).read_text(encoding="utf-8") if each.path else ""
            for line in rows.splitlines():
                path, *row = json.loads(line)
                index.writerow((f"clips/{path}", *row))
    shutil.move(partial, out / INDEX)


def _say(name: str, done: int, total: int) -> None:
    sys.stderr.write(f"{done}/{total} {name}\n")


if __name__ == "__main__":
    main()
