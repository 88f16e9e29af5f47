"""Speech whose letters are known, to train a head on that writes them.

espeak-ng says lines that may be trained on. A twentieth of these is said for validation alone; the
lines that are kept to evaluate on are not touched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from embedsvc.ctc import encode
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.training import corpus, espeak, synthetic, texts
from embedsvc.training.languages import language_of
from embedsvc.training.shards import Progress, Task, make_all
from embedsvc.training.utterances import pools
from embedsvc.types import Vocabulary

BLANK, SPACE = "", "|"
LATIN = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {
    "ben": "অআইঈউঊঋএঐওঔকখগঘঙচছজঝঞটঠডঢণতথদধনপফবভমযরলশষসহৎংঃঁ়ািীুূৃেৈোৌ্",
    "ces": LATIN + "áčďéěíňóřšťúůýž",
    "deu": LATIN + "äöüß",
    "ell": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
    "eng": LATIN + "'",
    "fin": LATIN + "åäö",
    "fra": LATIN + "àâæçèéêëîïôœùûüÿ'",
    "ita": LATIN + "àèéìîòù'",
    "nld": LATIN + "éèëïöü'",
    "pol": LATIN + "ąćęłńóśźż",
    "por": LATIN + "áàâãçéêíóôõúü",
    "spa": LATIN + "áéíñóúü",
}
"""Small letters of each language that a head can be trained for; what else is written is no part
of words, and text with digits or other letters is left out."""

SPOKEN_SIGNS = frozenset("%&@#*§+=<>/\\")
"""Signs that are read as words, so that a text with one is not what is said."""

VALIDATION_PART = 20
TRAIN, VALIDATION = "train", "validation"
SEED = 3
"""Another than those of the speech that `mini` and its evaluation are made of."""


@dataclass(frozen=True)
class Speech:
    """What to make: `hours` of each language of ISO 639-3, of the texts in a folder.

    Raises InvalidArgument for a language without an alphabet.
    """

    texts: Path
    languages: tuple[str, ...]
    hours: float
    workers: int = 2
    seed: int = SEED

    def __post_init__(self) -> None:
        for code in self.languages:
            if code not in ALPHABETS:
                raise InvalidArgument(
                    f"`--languages` must be of {', '.join(sorted(ALPHABETS))}, but has {code!r}"
                )
        if not self.hours > 0:
            raise InvalidArgument(f"`--hours` must be positive, but is {self.hours}")


def vocabulary(languages: Sequence[str]) -> Vocabulary:
    """Blank, space, and all letters of the languages in the order of their numbers."""
    letters = sorted({letter for code in languages for letter in ALPHABETS[code]})
    return Vocabulary((BLANK, SPACE, *letters), blank=0, space=1)


def spelled(text: str, labels: Vocabulary) -> tuple[int, ...]:
    """Labels of a text, () where they are not what is said."""
    if SPOKEN_SIGNS.intersection(text):
        return ()
    try:
        return encode(text, labels)
    except InvalidArgument:
        return ()


def make_speech(speech: Speech, out: Path, progress: Progress) -> None:
    """Make the shards `out`/LANGUAGE-PART that are not there yet.

    Raises `FailedPrecondition` when espeak-ng or texts are missing, or a language can not be said.
    """
    version = espeak.version()
    texts.require(speech.texts)
    tasks = [task for code in speech.languages for task in _tasks(speech, code, version)]
    made = make_all(tasks, out, speech.workers, progress)
    for each in made:
        if each.path is None:
            raise FailedPrecondition(f"`{each.name}` must be spoken, but {each.fault}")


def read_shard(folder: Path) -> corpus.Corpus:
    """The clips of a shard and their features."""
    clips = tuple(corpus.read_clips(folder / corpus.CLIPS))
    frames = sum(clip.frames for clip in clips)
    features = np.memmap(folder / corpus.FEATURES, "<f2", "c", shape=(frames, corpus.BINS))
    return corpus.Corpus(clips, corpus.digest(folder / corpus.CLIPS), {}, features)


def _tasks(speech: Speech, code: str, version: str) -> Iterator[Task]:
    language = language_of(code)
    assert language is not None, "it has an alphabet"
    lines = texts.read(speech.texts, language).training
    seconds = speech.hours * 3600
    for part, share in ((TRAIN, 1.0), (VALIDATION, 1 / VALIDATION_PART)):
        mine = tuple(line for line in lines if _is_kept(line) is (part == VALIDATION))
        (pool,) = pools({language: texts.Texts(mine, ())}, 0)
        order = synthetic.Order(pool, seconds * share, speech.seed, version)
        yield Task(f"{code}-{part}", synthetic.make, order)


def _is_kept(line: texts.Line) -> bool:
    return crc32(texts.normal(line.text).encode()) % VALIDATION_PART == 0
