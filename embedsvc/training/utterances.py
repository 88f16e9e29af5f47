"""What is said by whom: an endless plan, the same for the same texts and seed."""

# ruff: noqa: RUF001  # punctuation of many languages looks like other letters, and must

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from embedsvc.training.espeak import Voice
from embedsvc.training.languages import DENSE, PIVOT, SPACELESS, Language
from embedsvc.training.texts import Line, Texts

MIX = {"parallel": 40, "chunk": 48, "word": 12}
"""Utterances of each kind in a hundred. Words are short, so that they are few of the seconds."""

RATES, PITCHES, RANGES = range(130, 251), range(5, 96), range(20, 91)
PARALLEL_RATES = range(150, 281)
"""Whole sentences are said a little faster, so that fewer of them are too long."""

VARIANTS = (
    "", "", "", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "klatt", "klatt2",
    "klatt3", "klatt4", "klatt6", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4",
    "klatt", "klatt2", "klatt3", "klatt4", "klatt6", "Alex", "Alicia", "Andrea", "Andy", "Annie",
    "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario",
    "Michael", "Mike", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris",
    "caleb", "david", "ed", "edward", "edward2", "grandpa", "gustave", "iven", "john",
    "kaukovalta", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro",
    "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "travis", "victor", "zac",
    "whisper",
)  # fmt: skip
"""Variants of espeak-ng to train on; those that sound most like people are there twice."""

KEPT_VARIANTS = ("f5", "m7", "klatt5", "linda", "grandma", "iven3", "steph3", "iven2")
"""Variants that are never trained on."""

CHUNK_LETTERS = (8, 16, 30, 45, 60, 75)
CHUNK_LETTERS_SPACELESS = (10, 20, 35, 50)
CHUNK_LETTERS_DENSE = (4, 8, 12, 16, 20)
PARALLEL_LETTERS = 75
PARALLEL_LETTERS_DENSE = 24
LEAD_SAMPLES, TAIL_SAMPLES = range(160, 1_601), range(400, 3_201)

_BRACKETS = re.compile(r"[\"“”«»„()\[\]{}<>*_|]")
_BREAKS = re.compile(r"[，。！？、,.!?;；：:… \u3000]+")
_NO_KANA = re.compile(r"[^\u3041-\u3096\u30a1-\u30fa\u30fc]+")
_LEAST_KANA = 4
KANA_VOICES = ("jpx/ja",)
"""Of espeak-ng, which names the other letters of Japanese instead of reading them."""


@dataclass(frozen=True)
class Utterance:
    """A text in a voice; `lead` and `tail` are samples of silence that stay around it."""

    text: str
    group: str
    voice: Voice
    lead: int
    tail: int


@dataclass(frozen=True)
class Pool:
    """What a language may say: lines to cut chunks and words from, and whole lines in order."""

    language: Language
    lines: tuple[str, ...]
    parallel: tuple[Line, ...]


def pools(texts: Mapping[Language, Texts], wanted: int) -> list[Pool]:
    """What each language may say, parallel lines that most languages have first.

    A language is expected to say about `wanted` parallel lines; English says first what others are
    expected to, so that each has a partner.
    """
    short = {language: _short(language, each) for language, each in texts.items()}
    spread = Counter(line.group for lines in short.values() for line in _once(lines))
    ranked = {language: _ranked(lines, spread) for language, lines in short.items()}
    chosen = Counter(
        line.group
        for language, lines in ranked.items()
        if language.code != PIVOT
        for line in lines[:wanted]
    )
    result = []
    for language, each in texts.items():
        parallel = ranked[language]
        if language.code == PIVOT:
            parallel = sorted(parallel, key=lambda line: not chosen[line.group])
        lines = tuple(line.text for line in each.training)
        result.append(Pool(language, lines, tuple(parallel)))
    return result


def plan(pool: Pool, seed: int) -> Iterator[Utterance]:
    """Utterances of a language without end; none when there is nothing to say."""
    random = Random(f"{seed}:{pool.language.code}")  # noqa: S311  # must be repeatable
    kinds, weights = list(MIX), list(MIX.values())
    if not pool.lines:
        return
    parallel = (pool.parallel[number % len(pool.parallel)] for number in count() if pool.parallel)
    while True:
        kind = random.choices(kinds, weights)[0]
        line = next(parallel) if kind == "parallel" and pool.parallel else None
        rates = PARALLEL_RATES if line else RATES
        if line:
            text, group = line.text, line.group
        else:
            text, group = _part(random.choice(pool.lines), pool.language, kind, random), ""
        voice = random_voice(pool.language, VARIANTS, rates, random)
        lead, tail = random.choice(LEAD_SAMPLES), random.choice(TAIL_SAMPLES)
        if text:
            yield Utterance(text, group, voice, lead, tail)


def random_voice(
    language: Language, variants: Sequence[str], rates: Sequence[int], random: Random
) -> Voice:
    """Some voice of a language, with one of the variants and rates."""
    return Voice(
        random.choice(language.voices),
        random.choice(variants),
        random.choice(rates),
        random.choice(PITCHES),
        random.choice(RANGES),
    )


def chunk(text: str, language: Language, random: Random) -> str:
    """Some words of a line that follow each other, of one of several lengths; "" for none."""
    if language.code in SPACELESS:
        return _spaceless_chunk(text, language, random)
    words = tidy(text).split()
    if not words:
        return ""
    letters = random.choice(CHUNK_LETTERS)
    first = random.randrange(max(1, len(words) - letters // 8))
    chosen = words[first]
    for word in words[first + 1 :]:
        if len(chosen) + 1 + len(word) > letters:
            break
        chosen += f" {word}"
    return chosen.strip(" ,;:-–—")


def words(text: str, language: Language, random: Random) -> str:
    """One or two words of a line; "" for none."""
    if language.code in SPACELESS:
        pieces = _pieces(text, language)
        piece = random.choice(pieces) if pieces else ""
        least = 2 if language.code in DENSE else 4
        return piece[: random.randint(least, 2 * least)]
    found = [word.strip(".,;:!?-–—'’…") for word in tidy(text).split()]
    found = [word for word in found if len(word) > 2]
    if not found:
        return ""
    first = random.randrange(len(found))
    return " ".join(found[first : first + random.randint(1, 2)])


def tidy(text: str) -> str:
    """Text without brackets and quotation marks, which are not said."""
    return " ".join(_BRACKETS.sub(" ", text).split())


def is_short(text: str, language: Language) -> bool:
    """Whether a whole line is short enough to be said."""
    most = PARALLEL_LETTERS_DENSE if language.code in DENSE else PARALLEL_LETTERS
    return len(text) <= most


def _part(text: str, language: Language, kind: str, random: Random) -> str:
    return words(text, language, random) if kind == "word" else chunk(text, language, random)


def _short(language: Language, texts: Texts) -> list[Line]:
    return [line for line in texts.training if line.group and is_short(line.text, language)]


def _once(lines: Sequence[Line]) -> list[Line]:
    return list({line.group: line for line in lines}.values())


def _ranked(lines: Sequence[Line], spread: Counter[str]) -> list[Line]:
    """Lines of all collections in turn, in each those first that most languages have."""
    by_collection: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(_once(lines), key=lambda line: (-spread[line.group], line.group)):
        by_collection[line.group.split(":")[0]].append(line)
    longest = max((len(each) for each in by_collection.values()), default=0)
    return [
        each[number]
        for number in range(longest)
        for each in by_collection.values()
        if number < len(each)
    ]


def _pieces(text: str, language: Language) -> list[str]:
    """Parts of a line between punctuation; for espeak-ng, of Japanese what is written by sound."""
    if language.voices == KANA_VOICES:
        return [piece for piece in _NO_KANA.split(text) if len(piece) >= _LEAST_KANA]
    return [piece for piece in _BREAKS.split(tidy(text)) if piece]


def _spaceless_chunk(text: str, language: Language, random: Random) -> str:
    pieces = _pieces(text, language)
    if not pieces:
        return ""
    dense = language.code in DENSE
    letters = random.choice(CHUNK_LETTERS_DENSE if dense else CHUNK_LETTERS_SPACELESS)
    first = random.randrange(len(pieces))
    chosen = pieces[first]
    for piece in pieces[first + 1 :]:
        if len(chosen) >= letters:
            break
        chosen += f" {piece}"
    return chosen[:PARALLEL_LETTERS_DENSE] if dense else chosen[:60]
