"""How fast the beam is: compiled, in Python, and beside that of flashlight-text.

`python -m tests.ctc.speed` lets them take turns on the same frames, first on noise with the same
language model, then on what the heads of `mini` hear in the clips of the package. What is told is
the median of the processor's time, which others on the machine lengthen less than that of a clock.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    SmearingMode,
    Trie,
)
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from embedsvc.ctc import LanguageModel, Parting, greedy, native, reference, sounding_words
from embedsvc.ctc.beams import Ended, Problem
from embedsvc.ctc.kenlm import KenLm
from embedsvc.ctc.lexicon import written_words
from embedsvc.ctc.runs import labels_of
from embedsvc.ctc.search import beam, best, problem
from embedsvc.evaluation.speech import Row
from embedsvc.evaluation.transcription import hear
from embedsvc.pipeline.loading import load_all
from embedsvc.samples import one_of_each
from embedsvc.types import Floats, HotWord, Vocabulary
from tests.ctc import spoken
from tests.ctc.made import noise

FRAMES, LABELS, WIDTH, ROUNDS, WORDS = 200, 40, 50, 25, 5000

Turns = dict[str, Callable[[], object]]


def main() -> None:
    letters = [chr(ord("a") + place) for place in range(LABELS - 2)]
    vocabulary = Vocabulary(("", *letters, "|"), 0, LABELS - 1)
    drawn = np.random.default_rng(0)
    words = sorted({"".join(drawn.choice(letters, drawn.integers(1, 8))) for _ in range(WORDS)})
    grams = {
        ("<unk>",): (-4.0, 0.0),
        ("<s>",): (0.0, -0.3),
        ("</s>",): (-2.0, 0.0),
        **{(word,): (float(drawn.uniform(-5, -2)), -0.2) for word in words},
        **dict.fromkeys(map(tuple, drawn.choice(words, (WORDS, 2)).tolist()), (-1.0, 0.0)),
    }
    log_probs = noise(0, FRAMES, LABELS, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = spoken.write(Path(folder), grams)
        lexicon = written_words(words, vocabulary)
        open_ = LanguageModel(lexicon, Parting.SPACE, KenLm(path, words))
        closed = LanguageModel(lexicon, Parting.SPACE, KenLm(path, words), closed=True)
        theirs = flashlight(path, words, vocabulary)
    frames = np.ascontiguousarray(log_probs)
    turns: Turns = {
        **ours("no model", log_probs, vocabulary, None),
        **ours("any words", log_probs, vocabulary, open_),
        **ours("these words", log_probs, vocabulary, closed),
        "flashlight, these words": lambda: theirs.decode(frames.ctypes.data, FRAMES, LABELS),
    }
    tell(f"{FRAMES} frames of noise", [turns], ROUNDS)
    for title, clips in heard():
        tell(title, clips, 3)
    for labels in (40, 5000):
        tell(f"20 s of noise, {labels} labels", [widest(labels, sounding=False)], 1)
    tell("20 s of noise, words in phones", [widest(60, sounding=True)], 1)


def ours(
    name: str, log_probs: Floats, vocabulary: Vocabulary, model: LanguageModel | None
) -> Turns:
    """A search, compiled and in Python."""

    def turn(followed: Callable[[Problem], Ended]) -> object:
        given = problem(log_probs, vocabulary, WIDTH, n_best=WIDTH, model=model)
        return best(followed(given), given, WIDTH)

    return {
        f"compiled, {name}": partial(turn, native.followed),
        f"in Python, {name}": partial(turn, reference.followed),
    }


def heard() -> Iterator[tuple[str, list[Turns]]]:
    """What heads of `mini` hear in a clip of each language; for phones, a list of all of them."""
    encoder, heads = load_all("mini")
    rows = [
        Row("", clip.path, "", "spa", "", "", "a", clip.seconds, "", "", ("a",))
        for clip in one_of_each()
    ]
    for name in ("letters-spa", "phones"):
        head = heads.chosen(name)
        vocabulary = head.vocabulary
        every = [each.example.log_probs for each in hear(encoder, head, rows, {}, lambda *_: None)]
        turns = [ours("no model", each, vocabulary, None) for each in every]
        if name == "phones":
            said = [(str(at), labels_of(greedy(each, 0))) for at, each in enumerate(every)]
            lexicon = sounding_words([each for each in said if each[1]], vocabulary)
            model = LanguageModel(lexicon, Parting.SOUND, closed=True)
            for mine, each in zip(turns, every, strict=True):
                mine.update(ours("a list", each, vocabulary, model))
        yield f"{name}, {len(every)} clips", turns


def widest(labels: int, *, sounding: bool) -> Turns:
    """As much as a request may ask for: the widest beam, hot words, a model of many words."""
    drawn = np.random.default_rng(0)
    letters = [chr(0x4E00 + place) for place in range(labels - 2)]
    vocabulary = Vocabulary(("", *letters, "|"), 0, None if sounding else labels - 1)
    words = sorted({"".join(drawn.choice(letters, drawn.integers(2, 9))) for _ in range(WORDS)})
    spelled = [(word, tuple(vocabulary.labels.index(letter) for letter in word)) for word in words]
    lexicon = sounding_words(spelled, vocabulary) if sounding else written_words(words, vocabulary)
    grams: dict[tuple[str, ...], tuple[float, float]] = {
        ("<unk>",): (-4.0, 0.0),
        ("<s>",): (0.0, -0.3),
        ("</s>",): (-2.0, 0.0),
    }
    grams |= {(word,): (float(drawn.uniform(-5, -2)), -0.2) for word in words}
    grams |= dict.fromkeys(map(tuple, drawn.choice(words, (WORDS, 2)).tolist()), (-1.0, 0.0))
    with tempfile.TemporaryDirectory() as folder:
        scorer = KenLm(spoken.write(Path(folder), grams), words)
    parting = Parting.SOUND if sounding else Parting.SPACE
    model = LanguageModel(lexicon, parting, scorer, closed=sounding)
    hot = tuple(HotWord(word, 2) for word in drawn.choice(words, 100).tolist())
    log_probs = noise(0, 1000, labels, 3)
    return {
        "the widest beam": lambda: beam(log_probs, vocabulary, 64, hot, 64, model=model),
    }


def tell(title: str, each: list[Turns], rounds: int) -> None:
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for turns in each:
            for name, turn in turns.items():
                started = time.thread_time()
                turn()
                taken[name].append(time.thread_time() - started)
    for name, seconds in taken.items():
        print(f"{title}: {name}: {1000 * statistics.median(seconds):.1f} ms")  # noqa: T201


def flashlight(path: Path, words: list[str], vocabulary: Vocabulary) -> LexiconDecoder:
    """Their decoder for the same lexicon, with the sum over alignments."""
    known = Dictionary([*words, "<unk>"])
    model = KenLM(str(path), known)
    space, blank = vocabulary.space, vocabulary.blank
    trie = Trie(len(vocabulary.labels), space)
    start = model.start(False)
    for place, word in enumerate(words):
        _, score = model.score(start, place)
        labels = [vocabulary.labels.index(letter) for letter in word]
        trie.insert([*labels, space], place, score)
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        WIDTH,
        len(vocabulary.labels),
        100.0,
        0.5 * 2.302585,
        1.5,
        -1e9,
        0.0,
        True,
        CriterionType.CTC,
    )
    unknown = known.get_index("<unk>")
    return LexiconDecoder(options, trie, model, space, blank, unknown, [], False)


if __name__ == "__main__":
    main()
