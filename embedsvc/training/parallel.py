"""Make parallel speech to align languages on: the same sentences, and the same names, in many.

OUT gets FLAC files and an index.tsv like that of `held_out`, all rows of split `train`. Rows
labeled `parallel` say lines of NTREX-128 that may be trained on; each language says other ones of
them, so that all are said in about as many languages. Rows labeled `name` say words that English
writes with a capital and the same line has letter for letter in other languages: what a listener
who understands nothing can still recognize.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from embedsvc.errors import InvalidArgument
from embedsvc.training import espeak, texts
from embedsvc.training.held_out import NAME, PARALLEL, Order, Part, speak
from embedsvc.training.languages import PIVOT, Language, languages
from embedsvc.training.shards import Progress
from embedsvc.training.texts import Line

LANGUAGES = (
    "afr", "ara", "bel", "ben", "bul", "cat", "ces", "cmn", "cym", "dan", "deu", "ell", "eng",
    "est", "eus", "fas", "fin", "fra", "gle", "heb", "hin", "hrv", "hun", "ind", "ita", "jpn",
    "kor", "lav", "lit", "mkd", "msa", "nld", "nob", "pol", "por", "ron", "rus", "slk", "slv",
    "spa", "srp", "swa", "swe", "tam", "tur", "ukr", "urd", "vie",
)  # fmt: skip
LINES, NAMES = 120, 80
POOL = 4
"""Lines to draw from for each line of a language: a quarter of all languages says each."""

MOST_LETTERS = 90
"""Letters that a line may have in English: longer ones take longer, and teach no more."""

LEAST_LANGUAGES = 4
"""Languages in which a name must be written alike."""

_NAME = re.compile(r"(?<=\w )[A-Z][a-zA-Z]{3,}\b")
_WORD = re.compile(r"\b[A-Z][a-zA-Z]{3,}\b")


@dataclass(frozen=True)
class Plan:
    """What to say: at most `lines` sentences and `names` names in each of some languages."""

    texts: Path
    lines: int = LINES
    names: int = NAMES
    languages: tuple[str, ...] = LANGUAGES
    seed: int = 3

    def __post_init__(self) -> None:
        if self.lines < 1 or self.names < 0:
            raise InvalidArgument(
                f"`--lines` must be at least 1 and `--names` at least 0, but are {self.lines} "
                f"and {self.names}"
            )


def make_parallel(plan: Plan, out: Path, progress: Progress) -> dict[str, int]:
    """Write the clips and their index to `out`; clips by split and label, and faults, counted.

    Raises `FailedPrecondition` when espeak-ng or texts are missing, `InvalidArgument` for a
    language that has no lines.
    """
    version = espeak.version()
    texts.require(plan.texts)
    return speak(list(orders(plan, version)), out, progress)


def orders(plan: Plan, version: str) -> Iterator[Order]:
    """What each language is to say."""
    known = {language: _lines(plan.texts, language) for language in languages()}
    known = {language: lines for language, lines in known.items() if lines}
    unknown = sorted(set(plan.languages) - {language.code for language in known})
    if unknown:
        raise InvalidArgument(f"`--languages` must have lines in NTREX-128, but not {unknown[0]}")
    english = next(lines for language, lines in known.items() if language.code == PIVOT)
    short = [line.group for line in english if len(line.text) <= MOST_LETTERS]
    if POOL * plan.lines < len(short):
        short = Random(plan.seed).sample(short, POOL * plan.lines)  # noqa: S311
    names = shared_names({language.code: lines for language, lines in known.items()})
    for language, lines in known.items():
        if language.code not in plan.languages:
            continue
        random = Random(f"{plan.seed}:{language.code}")  # noqa: S311  # must be repeatable
        said = _drawn([line for line in lines if line.group in short], plan.lines, random)
        parts = [
            Part("train", PARALLEL, said, len(said)),
            Part(
                "train", NAME, _drawn(names.get(language.code, ()), plan.names, random), plan.names
            ),
        ]
        yield Order(language, tuple(parts), plan.seed, version)


def shared_names(lines: Mapping[str, Sequence[Line]]) -> dict[str, tuple[Line, ...]]:
    """Names by language: words of an English line that others have in theirs, letter for letter."""
    found: dict[str, set[str]] = {
        line.group: set(_NAME.findall(line.text)) for line in lines[PIVOT]
    }
    said: dict[str, set[str]] = defaultdict(set)
    for language, own in lines.items():
        for line in own:
            for name in set(_WORD.findall(line.text)) & found.get(line.group, set()):
                said[name].add(language)
    return {
        language: tuple(
            Line(name, f"name:{name}")
            for name in sorted(said)
            if language in said[name] and len(said[name]) >= LEAST_LANGUAGES
        )
        for language in lines
    }


def _lines(folder: Path, language: Language) -> tuple[Line, ...]:
    """Lines of NTREX-128 that may be trained on."""
    if not language.ntrex:
        return ()
    lines = texts.read(folder, language).training
    return tuple(line for line in lines if line.group.startswith("ntrex:"))


def _drawn(lines: Sequence[Line], most: int, random: Random) -> tuple[Line, ...]:
    return tuple(random.sample(list(lines), min(most, len(lines))))
