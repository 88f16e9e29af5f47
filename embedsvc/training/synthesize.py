"""Make parallel speech in many languages to fit on, with espeak-ng.

    python -m embedsvc.training.synthesize TEXT_FOLDER OUT

TEXT_FOLDER holds a file for each language of `voices.tsv`, line by line the same content, in the
layout of NTREX-128 (Federmann, Kocmi and Xin 2022). OUT gets the clips and an index of them. A
line is said in some of the languages, and in each by some voices, so that clips of one group share
their content and nothing else. One version of espeak-ng gives the same bytes each time.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from numpy.typing import NDArray

from embedsvc.errors import AudioEmpty, FailedPrecondition
from embedsvc.samples.synthesizer import Voice, require, speak
from embedsvc.timing import SAMPLE_RATE

SEED = 1
LINES = 1_399
"""Lines of a text that may be said; those after are kept to evaluate on."""

PIVOT = "eng"
LETTERS = range(25, 61)
"""Letters of a line in English that is said."""

SECONDS = (0.5, 9.0)
"""Shortest and longest clip that is kept."""

RATES = range(135, 231)
PITCHES = range(15, 91)
VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "klatt", "klatt2",
    "klatt3", "klatt4", "klatt6", "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo",
    "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike",
    "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "david", "ed",
    "edward", "edward2", "grandpa", "gustave", "iven", "john", "kaukovalta", "marcelo", "max",
    "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert",
    "sandro", "shelby", "steph", "steph2", "travis", "victor", "zac", "whisper",
)  # fmt: skip
"""Voices of espeak-ng; its others sound like robots, or are kept to evaluate with."""

LICENSE = "CC-BY-SA-4.0"
"""Of the texts, and so of what is made from them."""

COLUMNS = (
    "path", "split", "language", "speaker", "label", "transcript", "seconds", "group", "licence",
    "licence_class", "source",
)  # fmt: skip


@dataclass(frozen=True)
class Language:
    """A row of `voices.tsv`: ISO 639-3 code, English name, stem of the text, espeak-ng's name."""

    language: str
    name: str
    text: str
    synthesizer: str


@dataclass(frozen=True)
class Amount:
    """How much is said: lines, languages for each line, and voices for each of these."""

    lines: int = 40
    languages: int = 14
    voices: int = 3


@dataclass(frozen=True)
class Utterance:
    """Line `number` of a text, counted from 1, in one language and voice."""

    number: int
    language: Language
    voice: Voice
    text: str

    @property
    def path(self) -> str:
        """Where it is written."""
        return f"clips/{self.number:04}-{self.language.language}-{self.voice.variant}.flac"


def languages() -> tuple[Language, ...]:
    """Every language of `voices.tsv`, in its order.

    >>> languages()[0]
    Language(language='afr', name='Afrikaans', text='afr', synthesizer='af')
    """
    table = resources.files(__package__).joinpath("voices.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Language(**row) for row in rows)


def read_texts(folder: Path) -> dict[Language, list[str]]:
    """Lines of each language; raises `FailedPrecondition` when one has no text."""
    texts = {}
    for language in languages():
        path = folder / f"{language.text}.txt"
        if not path.is_file():
            raise FailedPrecondition(f"`TEXT_FOLDER` must have {path.name}, but has none: {folder}")
        lines = path.read_text(encoding="utf-8").split("\n")[:LINES]
        texts[language] = [" ".join(line.split()) for line in lines]
    return texts


def plan(texts: Mapping[Language, Sequence[str]], amount: Amount) -> Iterator[Utterance]:
    """What is said, the same for the same texts; at most what `amount` asks for."""
    random = Random(SEED)  # noqa: S311  # nothing secret: the plan must be repeatable
    pivot = next(lines for language, lines in texts.items() if language.language == PIVOT)
    shared = min(len(lines) for lines in texts.values())
    fitting = [index for index in range(shared) if len(pivot[index]) in LETTERS]
    for index in random.sample(fitting, min(amount.lines, len(fitting))):
        for language in random.sample(list(texts), amount.languages):
            for variant in random.sample(VARIANTS, amount.voices):
                voice = Voice(variant, random.choice(RATES), random.choice(PITCHES))
                yield Utterance(index + 1, language, voice, texts[language][index])


def synthesize(texts: Mapping[Language, Sequence[str]], out: Path, amount: Amount) -> Counter[str]:
    """Write the clips and `index.tsv`; what could not be said or kept, and the clips, counted."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with (out / "index.tsv").open("w", encoding="utf-8", newline="") as file:
        index = csv.writer(
            file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None
        )
        index.writerow(COLUMNS)
        for utterance in plan(texts, amount):
            samples = _said(utterance)
            seconds = len(samples) / SAMPLE_RATE
            if not SECONDS[0] <= seconds <= SECONDS[1]:
                counts["silent" if not seconds else "too short or too long"] += 1
                continue
            counts["clips"] += 1
            soundfile.write(out / utterance.path, samples, SAMPLE_RATE, subtype="PCM_16")
            index.writerow(_row(utterance, seconds))
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, and report how many as JSON."""
    parser = argparse.ArgumentParser(description="make parallel speech with espeak-ng")
    parser.add_argument("texts", type=Path, metavar="TEXT_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT")
    usual = Amount()
    parser.add_argument("--lines", type=int, default=usual.lines)
    parser.add_argument("--languages", type=int, default=usual.languages)
    parser.add_argument("--voices", type=int, default=usual.voices)
    options = parser.parse_args(arguments)
    amount = Amount(options.lines, options.languages, options.voices)
    try:
        require()
        counts = synthesize(read_texts(options.texts), options.out, amount)
    except FailedPrecondition as error:
        parser.error(error.message)
    sys.stdout.write(json.dumps(counts, indent=1) + "\n")


def _said(utterance: Utterance) -> NDArray[np.float32]:
    """Waveform (N,) at 16 kHz; (0,) when the synthesizer finds nothing to say."""
    try:
        return speak(utterance.text, utterance.language.synthesizer, utterance.voice)
    except AudioEmpty:
        return np.empty(0, np.float32)


def _row(utterance: Utterance, seconds: float) -> tuple[str, ...]:
    language, variant = utterance.language, utterance.voice.variant
    return (
        utterance.path, "train", language.language, variant, "", utterance.text, f"{seconds:.3f}",
        str(utterance.number), LICENSE, "cc-by-sa", f"espeak-ng:{language.synthesizer}+{variant}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
