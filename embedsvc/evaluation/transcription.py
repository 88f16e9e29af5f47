"""How often a CTC head is right, and whether its confidence tells when.

What was heard is put beside what was said by the fewest edits; a label, or a word, is right where
that keeps it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from embedsvc.audio import Door, core_frames, decode, log_mel, long_enough, stacked, windows
from embedsvc.ctc import Calibration, ConfidenceMeasure, encode, greedy, text
from embedsvc.ctc.edits import ErrorCounts, character_errors, count, word_errors
from embedsvc.ctc.fitting import Example, told, told_of_words
from embedsvc.ctc.measures import Bools, ConfidenceFigures, judge
from embedsvc.ctc.runs import Doubles, labels_of
from embedsvc.encoder import Encoder
from embedsvc.encoder.ctc import Body, CtcHead
from embedsvc.encoder.waveform import WaveformEncoder
from embedsvc.errors import EmbedsvcError, InvalidArgument
from embedsvc.evaluation.embedding import Tell, batches
from embedsvc.evaluation.phones import reference
from embedsvc.evaluation.speech import Row
from embedsvc.timing import FRAME
from embedsvc.types import (
    Ask,
    Encoded,
    Floats,
    Frames,
    HeadKind,
    Samples,
    Vocabulary,
    Windowing,
)

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Confidences from which on what is heard might be believed."""

ENTROPY = "entropy"
PROBABILITY = "probability"
RAW = {
    ENTROPY: Calibration(ConfidenceMeasure.ENTROPY),
    PROBABILITY: Calibration(ConfidenceMeasure.PROBABILITY),
}
"""Confidence without a calibration, of either kind."""

Phones = tuple[str, ...]
AnyEncoder = Encoder | WaveformEncoder


@dataclass(frozen=True)
class Spoken:
    """Log-probabilities of a clip, and what was said in it, as labels and as text."""

    example: Example
    said: str


@dataclass(frozen=True)
class Kept:
    """From a threshold on: the share of all that is kept, and the share of that which is right."""

    threshold: float
    share: float
    right: float


@dataclass(frozen=True)
class Confidence:
    """How well one kind of confidence tells what is right; `words` of text alone."""

    name: str
    method: str
    tokens: ConfidenceFigures
    words: ConfidenceFigures | None
    kept: tuple[Kept, ...]


@dataclass(frozen=True)
class Figures:
    """Errors of labels, and of the characters and words of text; then each kind of confidence."""

    clips: int
    labels: ErrorCounts
    characters: ErrorCounts | None
    words: ErrorCounts | None
    confidence: tuple[Confidence, ...]


def said_in(row: Row, head: CtcHead, phones: Mapping[Row, Phones]) -> tuple[tuple[int, ...], str]:
    """What was said in a clip as the head would write it; nothing where that is not known.

    For a head of phones it is the column `phones`, or else what `phones` has of the clip; for one
    of text the transcript. A transcript that the labels do not spell is not known, nor one in a
    language that the head does not write.
    """
    vocabulary = head.vocabulary
    labels: tuple[int, ...] = ()
    if head.info.languages and row.language not in head.info.languages:
        return labels, ""
    if head.info.kind is HeadKind.PHONES:
        numbers = {label: number for number, label in enumerate(vocabulary.labels) if label}
        labels = reference(row.phones or phones.get(row, ()), numbers)
    else:
        with suppress(InvalidArgument):
            labels = encode(row.transcript, vocabulary)
    return labels, text(labels, vocabulary)


def hear(
    encoder: AnyEncoder,
    head: CtcHead,
    rows: Sequence[Row],
    phones: Mapping[Row, Phones],
    tell: Tell,
) -> Iterator[Spoken]:
    """What the head says of clips whose text is known, the rest are left out.

    It hears them in the windows in which they would be served. Clips that can not be read are left
    out too, and those of several windows if the head has a stride. A few are in memory at a time.
    """
    known = [(row, *said_in(row, head, phones)) for row in rows]
    wanted = {row: (labels, said) for row, labels, said in known if labels}
    done = 0
    for batch in batches(sorted(wanted, key=lambda row: row.seconds)):
        read = [(row, parts) for row in batch if (parts := _parts(row, head))]
        heard = _heard(encoder, head, [parts for _, parts in read])
        for (row, _), log_probs in zip(read, heard, strict=True):
            labels, said = wanted[row]
            yield Spoken(Example(log_probs, labels), said)
        done += len(batch)
        tell(done, len(wanted))


@dataclass(frozen=True)
class _Part:
    """A window of a clip, and which of its frames it answers for."""

    read: Frames | Samples
    core: tuple[int, int]


def _parts(row: Row, head: CtcHead) -> list[_Part]:
    """Windows of a clip, none where it can not be read or joined."""
    try:
        found = [
            _Part(_read(window.samples, head.body), core_frames(window, head.body.grid.count))
            for window in windows(decode(row.path.read_bytes(), Door()).samples, Windowing())
        ]
    except (EmbedsvcError, OSError):
        return []
    return found if len(found) == 1 or head.grid.hop == FRAME else []


def _read(samples: Floats, body: Body) -> Frames | Samples:
    """What the body reads of a window."""
    long = long_enough(samples)
    if body.of_samples:
        return Samples(long, body.grid.count(len(long)), body.adapter)
    return stacked(log_mel(long))


def _heard(
    encoder: AnyEncoder, head: CtcHead, clips: Sequence[Sequence[_Part]]
) -> Iterator[Floats]:
    every = [part.read for parts in clips for part in parts]
    answers = iter(_encoded(encoder, head.layer, every) if every else ())
    for parts in clips:
        said = [head(next(answers).frames[head.layer]) for _ in parts]
        if len(parts) == 1:
            yield said[0]
            continue
        cores = [each[part.core[0] : part.core[1]] for each, part in zip(said, parts, strict=True)]
        yield np.concatenate(cores)


def _encoded(
    encoder: AnyEncoder, layer: int, every: Sequence[Frames | Samples]
) -> Sequence[Encoded]:
    asks = [Ask((layer,), (0, len(each)), ((0, len(each)),)) for each in every]
    if isinstance(encoder, WaveformEncoder):
        return encoder.hear([each for each in every if isinstance(each, Samples)], asks)
    return encoder.encode([each for each in every if isinstance(each, Frames)], asks)


def measure(
    spoken: Iterable[Spoken], vocabulary: Vocabulary, kinds: Mapping[str, Calibration]
) -> Figures:
    """Error rates, and figures of each kind of confidence by its name.

    Raises InvalidArgument where nothing was heard.
    """
    tallies = {name: _Tally(each) for name, each in kinds.items()}
    labels = characters = words = ErrorCounts()
    clips = 0
    for each in spoken:
        clips += 1
        heard = labels_of(greedy(each.example.log_probs, vocabulary.blank))
        labels += count(heard, each.example.said)
        characters += character_errors(text(heard, vocabulary), each.said)
        words += word_errors(text(heard, vocabulary), each.said)
        for tally in tallies.values():
            tally.add(each, vocabulary)
    if not any(tally.heard for tally in tallies.values()):
        raise InvalidArgument(
            "`DIR` must have clips whose text is known and of which some is heard"
        )
    written = vocabulary.space is not None
    return Figures(
        clips,
        labels,
        characters if written else None,
        words if written else None,
        tuple(tally.figures(name) for name, tally in tallies.items()),
    )


class _Tally:
    """Confidence of one kind in every label and word, and whether each is right."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._tokens: list[tuple[Doubles, Bools]] = []
        self._words: list[tuple[Doubles, Bools]] = []

    @property
    def heard(self) -> int:
        return sum(len(correct) for _, correct in self._tokens)

    def add(self, spoken: Spoken, vocabulary: Vocabulary) -> None:
        self._tokens.append(told([spoken.example], vocabulary, self._calibration))
        if vocabulary.space is None:
            return
        self._words.append(told_of_words([spoken.example], vocabulary, self._calibration))

    def figures(self, name: str) -> Confidence:
        sure, correct = _joined(self._tokens)
        return Confidence(
            name,
            self._calibration.method,
            judge(sure, correct),
            judge(*_joined(self._words)) if self._words else None,
            tuple(_kept(each, sure, correct) for each in THRESHOLDS),
        )


def _joined(parts: Sequence[tuple[Doubles, Bools]]) -> tuple[Doubles, Bools]:
    return (
        np.concatenate([sure for sure, _ in parts]),
        np.concatenate([correct for _, correct in parts]),
    )


def _kept(threshold: float, sure: Doubles, correct: Bools) -> Kept:
    """Where nothing is kept, all of it is right."""
    kept = sure >= threshold
    return Kept(threshold, float(kept.mean()), float(correct[kept].mean()) if kept.any() else 1.0)


def halves(rows: Sequence[Row], by: str) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows to fit on and rows to measure on.

    By `split` those are the rows of `train` and of `dev`; by `speaker` or `group` two halves of
    these, always the same ones, so that none is in both. Rows without one are left out.
    """
    if by == "split":
        sides = [{"train": 0, "dev": 1}.get(row.split) for row in rows]
    else:
        sides = [_side(getattr(row, by)) for row in rows]
    fit, asked = (
        tuple(row for row, side in zip(rows, sides, strict=True) if side == wanted)
        for wanted in (0, 1)
    )
    return fit, asked


def _side(name: str) -> int | None:
    return crc32(name.encode()) % 2 if name else None
