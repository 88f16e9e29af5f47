"""How often a closed list of words finds what was said, from the phones of a head.

`python -m tests.ctc.listed FOLDER [LANGUAGE...]` takes a folder with an `index.tsv`; the list of a
language is all that its clips say, in the phones of espeak-ng. Beside it stands the word of the
list whose phones are the fewest edits away from those that were heard greedily. A text is right as
a whole; "first with words" is the likeliest text that is not silence. The likeliest entry is that
of the highest total over all alignments, of all of the list one by one; it is lost where the search
finds nothing but what is less likely.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedsvc.cli.evaluate_texts import phones_of
from embedsvc.ctc import LanguageModel, Parting, beam, count, greedy, sounding_words, transcribe
from embedsvc.ctc.runs import Doubles, Labels, labels_of
from embedsvc.encoder import Encoder
from embedsvc.encoder.ctc import CtcHead
from embedsvc.evaluation.phones import reference
from embedsvc.evaluation.speech import INDEX, Row, read_table
from embedsvc.evaluation.transcription import hear
from embedsvc.pipeline.loading import load_all
from embedsvc.types import DecodeOptions, Floats

BONUS = -5.0
"""A clip says one entry of the list, so more of them cost more."""

DIGITS = dict(
    enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
)


def said(row: Row) -> str:
    """What a clip says; of a digit, its name."""
    text = row.transcript.strip() or row.label.strip()
    return DIGITS[int(text)] if text.isdecimal() and len(text) == 1 else text


def nearest(heard: Labels, listed: Iterable[tuple[str, Labels]]) -> Labels:
    """Phones of the entry that the fewest edits lead to."""
    return min((labels for _, labels in listed), key=lambda labels: count(heard, labels).edits)


def likelihoods(log_probs: Floats, entries: Sequence[Labels], blank: int) -> Doubles:
    """Log-probability of each entry alone, over all its alignments (Graves et al. 2006), (W,)."""
    longest = 2 * max(map(len, entries)) + 1
    states = np.full((len(entries), longest), blank)
    for row, labels in zip(states, entries, strict=True):
        row[1 : 2 * len(labels) : 2] = labels
    # A blank between two labels may be passed over, if they differ.
    direct = np.full(states.shape, -np.inf)
    direct[:, 2:][(states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])] = 0
    total = np.full((len(entries), longest + 2), -np.inf)  # two columns before the first state
    total[:, 2:4] = log_probs[0, states[:, :2]]
    for frame in log_probs[1:].astype(np.float64):
        stay = np.logaddexp(total[:, 2:], total[:, 1:-1])
        total[:, 2:] = np.logaddexp(stay, total[:, :-2] + direct) + frame[states]
    every, ends = np.arange(len(entries)), 2 * np.array([*map(len, entries)]) + 2
    found: Doubles = np.logaddexp(total[every, ends], total[every, ends - 1])
    return found


def measure(head: CtcHead, encoder: Encoder, rows: list[Row], title: str) -> None:
    vocabulary = head.vocabulary
    numbers = {label: place for place, label in enumerate(vocabulary.labels) if label}
    texts = sorted({said(row) for row in rows} - {""})
    phones = dict(zip(texts, phones_of(rows[0].language, texts), strict=True))
    spelled = {text: tuple(reference(each, numbers)) for text, each in phones.items() if each}
    listed = [(text, labels) for text, labels in spelled.items() if labels]
    model = LanguageModel(sounding_words(listed, vocabulary), Parting.SOUND, closed=True, bonus=0)
    own = {row: phones[said(row)] for row in rows if said(row) in spelled}
    entries = [labels for _, labels in listed]
    clips, lost = 0, 0
    right = dict.fromkeys(["text", "first with words", "nearest by edits", "likeliest entry"], 0)
    options = DecodeOptions(beam=32, texts=8, word_bonus=BONUS)
    for spoken in hear(encoder, head, list(own), own, lambda done, total: None):
        log_probs, labels = spoken.example.log_probs, spoken.example.said
        clips += 1
        found = transcribe(log_probs, vocabulary, options, model=model)
        texts = [found.text, *(other.text for other in found.others)]
        right["text"] += spelled.get(texts[0]) == labels
        right["first with words"] += spelled.get(next(filter(None, texts), "")) == labels
        right["nearest by edits"] += (
            nearest(labels_of(greedy(log_probs, vocabulary.blank)), listed) == labels
        )
        alone = likelihoods(log_probs, entries, vocabulary.blank)
        likeliest = entries[int(alone.argmax())]
        right["likeliest entry"] += likeliest == labels
        best = beam(log_probs, vocabulary, 32, n_best=32, model=replace(model, bonus=BONUS))
        first = next((each for each in best if each.words), None)
        lost += first is None or (first.labels != likeliest and first.score < alone.max() + BONUS)
    shares = ", ".join(f"{name}: {each / clips:.1%}" for name, each in right.items())
    print(  # noqa: T201 - what it is for
        f"{title}: {len(listed)} words, {clips} clips, {shares}, "
        f"likeliest entry lost: {lost}, chance {1 / len(listed):.1%}"
    )


def main() -> None:
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    encoder, heads = load_all("mini")
    rows = defaultdict(list)
    for row in read_table(folder / INDEX, folder.name):
        rows[row.language].append(row)
    for language in wanted or rows:
        measure(heads.chosen("phones"), encoder, rows[language], f"{folder.name} {language}")


if __name__ == "__main__":
    main()
