"""How fast the beam is beside that of flashlight-text, which is compiled.

`python -m tests.ctc.speed` lets them take turns, on the same frames with the same language model.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

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

from embedsvc.ctc import LanguageModel, Parting, beam, written_words
from embedsvc.ctc.kenlm import KenLm
from embedsvc.types import Vocabulary
from tests.ctc import spoken
from tests.ctc.made import noise

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES, LABELS, WIDTH, ROUNDS, WORDS = 200, 40, 50, 15, 5000


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
    turns: dict[str, Callable[[], object]] = {
        "ours, no model": lambda: beam(log_probs, vocabulary, WIDTH),
        "ours, any words": lambda: beam(log_probs, vocabulary, WIDTH, model=open_),
        "ours, these words": lambda: beam(log_probs, vocabulary, WIDTH, model=closed),
        "flashlight, these words": lambda: theirs.decode(frames.ctypes.data, FRAMES, LABELS),
    }
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            started = time.perf_counter()
            turn()
            taken[name].append(time.perf_counter() - started)
    for name, seconds in taken.items():
        print(f"{name}: {1000 * statistics.median(seconds):.0f} ms")  # noqa: T201


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
