"""Phone error rates, of synthetic speech of held-out text and of people who read."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from embedsvc.evaluation.clips import Clips
from embedsvc.evaluation.measures import VALUE, Measure
from embedsvc.evaluation.phones import Errors, compare, reference
from embedsvc.evaluation.speech import SYNTHETIC, Row

TASK = "phone errors"
TEXT_SETS = ("artikulate", "azure_customspeech", "misc_samples", "emo_ravdess", "emo_emodb")
"""Sets of people whose transcripts are what is said."""

_LONGEST = 20.0


def wanted(row: Row) -> bool:
    """Clips with a text, and short enough to be heard whole."""
    return _synthetic(row) or (
        row.corpus in TEXT_SETS and bool(row.transcript) and row.seconds <= _LONGEST
    )


def measure(
    clips: Clips,
    labels: tuple[str, ...],
    spoken: Mapping[Row, tuple[str, ...]],
    known: frozenset[str],
) -> Iterator[Measure]:
    """Rates by kind of voice, by language and by set.

    `labels` are those of the head, `spoken` the phones of clips of people, and `known` the
    variants of voices that may have been learned from.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    errors = {}
    for row, heard in zip(clips.rows, clips.phones, strict=True):
        said = reference(row.phones or spoken.get(row, ()), numbers)
        if wanted(row) and said:
            errors[row] = compare(heard, said)
    made = {row: each for row, each in errors.items() if row.corpus == SYNTHETIC}
    if made:
        yield _rate("synthetic", made.values())
        for name, seen in (("synthetic, known voices", True), ("synthetic, new voices", False)):
            mine = [each for row, each in made.items() if (_variant(row) in known) is seen]
            if mine:
                yield _rate(name, mine)
        yield from _by_language(made)
    for corpus in TEXT_SETS:
        mine = [each for row, each in errors.items() if row.corpus == corpus]
        if mine:
            yield _rate(corpus, mine)


def _by_language(errors: Mapping[Row, Errors]) -> Iterator[Measure]:
    by_language = _grouped(errors, lambda row: row.language)
    for language in sorted(by_language):
        yield _rate(f"synthetic, language {language}", [by_language[language]])


def _grouped(errors: Mapping[Row, Errors], value: Callable[[Row], str]) -> dict[str, Errors]:
    sums: dict[str, Errors] = defaultdict(Errors)
    for row, each in errors.items():
        sums[value(row)] += each
    return dict(sums)


def _rate(name: str, errors: Iterable[Errors]) -> Measure:
    total = sum(errors, Errors())
    return Measure(
        task=TASK,
        name=name,
        figure="PER",
        values={VALUE: total.rate},
        counts={"clips": total.clips, "phones": total.phones},
        falling=True,
    )


def _synthetic(row: Row) -> bool:
    return row.corpus == SYNTHETIC and row.split == "dev" and row.label == "chunk"


def known_variants(rows: Iterable[Row]) -> frozenset[str]:
    """Variants of voices that synthetic speech to learn from has."""
    return frozenset(
        _variant(row) for row in rows if row.corpus == SYNTHETIC and row.split == "train"
    )


def _variant(row: Row) -> str:
    return row.speaker.rpartition("+")[2]
