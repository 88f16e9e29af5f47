"""How often a closed list of words finds what was said, from the phones of a head.

`python -m tests.ctc.listed FOLDER [LANGUAGE...]` takes a folder with an `index.tsv`; the list of a
language is all that its clips say, in the phones of espeak-ng. Beside it stands the word of the
list whose phones are the fewest edits away from those that were heard greedily. A text is right as
a whole; "first with words" is the likeliest text that is not silence.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from embedsvc.cli.evaluate_texts import phones_of
from embedsvc.ctc import LanguageModel, Parting, count, greedy, sounding_words, transcribe
from embedsvc.ctc.runs import Labels, labels_of
from embedsvc.encoder import Encoder
from embedsvc.encoder.ctc import CtcHead
from embedsvc.evaluation.phones import reference
from embedsvc.evaluation.speech import INDEX, Row, read_table
from embedsvc.evaluation.transcription import hear
from embedsvc.pipeline.loading import load_all
from embedsvc.types import DecodeOptions

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


def measure(head: CtcHead, encoder: Encoder, rows: list[Row], title: str) -> None:
    vocabulary = head.vocabulary
    numbers = {label: place for place, label in enumerate(vocabulary.labels) if label}
    texts = sorted({said(row) for row in rows} - {""})
    phones = dict(zip(texts, phones_of(rows[0].language, texts), strict=True))
    spelled = {text: tuple(reference(each, numbers)) for text, each in phones.items() if each}
    listed = [(text, labels) for text, labels in spelled.items() if labels]
    model = LanguageModel(sounding_words(listed, vocabulary), Parting.SOUND, closed=True, bonus=0)
    own = {row: phones[said(row)] for row in rows if said(row) in spelled}
    clips, right = 0, dict.fromkeys(["text", "first with words", "nearest by edits"], 0)
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
    shares = ", ".join(f"{name}: {each / clips:.1%}" for name, each in right.items())
    print(  # noqa: T201 - what it is for
        f"{title}: {len(listed)} words, {clips} clips, {shares}, chance {1 / len(listed):.1%}"
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
