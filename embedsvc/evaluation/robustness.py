"""What is left of the figures when the sound is worse."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from embedsvc.errors import EmbedsvcError
from embedsvc.evaluation import language, same_content
from embedsvc.evaluation.clips import DEFAULT, Clips
from embedsvc.evaluation.corruption import Corruption, conditions
from embedsvc.evaluation.embedding import Subject, Tell, embed, samples_of
from embedsvc.evaluation.measures import VALUE, Measure
from embedsvc.evaluation.phones import Errors, compare, reference
from embedsvc.evaluation.probes import accuracy
from embedsvc.evaluation.speech import SYNTHETIC, Row
from embedsvc.types import Floats

TASK = "robustness"
MOST = 300
"""Clips of one task that are made worse."""

_VOICES = 40
_CLEAN = "clean"


def queries(clips: Clips) -> tuple[Row, ...]:
    """The clips that are made worse: evenly taken from nEMO, EmoDB and synthetic speech."""
    groups = [
        [row for row in clips.rows if row.corpus == corpus and row.group]
        for corpus in ("emo_nemo", "emo_emodb")
    ]
    groups.append([row for row in clips.rows if _synthetic(row)])
    return tuple(row for group in groups for row in _spread(group, MOST))


def measure(
    subject: Subject,
    clips: Clips,
    labels: tuple[str, ...],
    synthetic: language.Synthetic | None,
    tell: Tell,
) -> Iterator[Measure]:
    """Every condition: queries made worse against clean archives, probes and heads as learned.

    The figures are those of the default layer and of the default space; "clean" are those of the
    same clips as they are. `tell` hears of the clips of all conditions together.
    """
    rows = queries(clips)
    wanted = frozenset(rows)
    clean = clips.where(lambda row: row in wanted)
    yield from _figures(_CLEAN, clean, clips, labels, synthetic)
    worse = conditions(_voices(rows))
    for at, (name, corruption) in enumerate(worse.items()):
        told = partial(_tell_all, tell, at * len(rows), len(worse) * len(rows))
        changed = embed(subject, rows, told, partial(_corrupted, corruption))
        yield from _figures(name, changed.clips, clips, labels, synthetic)


def _tell_all(tell: Tell, before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


def _corrupted(corruption: Corruption, row: Row, samples: Floats) -> Floats:
    """The same noise for a clip every time."""
    return corruption(
        samples, np.random.default_rng(list(f"{row.corpus}/{row.path.name}".encode()))
    )


def _figures(
    name: str,
    heard: Clips,
    clean: Clips,
    labels: tuple[str, ...],
    synthetic: language.Synthetic | None,
) -> Iterator[Measure]:
    for question in same_content.QUESTIONS[:2]:
        yield from _found(name, question, heard, clean)
    made = heard.where(_synthetic)
    if labels and len(made):
        yield _phones(name, made, labels)
    if synthetic is not None and len(made):
        yield _language(name, made, synthetic)


def _found(
    name: str, question: same_content.Question, heard: Clips, clean: Clips
) -> Iterator[Measure]:
    archive, asked = clean.where(question.wanted), heard.where(question.wanted)
    if not len(asked):
        return
    places = {row: place for place, row in enumerate(archive.rows)}
    truth = same_content.truth_of(archive, question)
    known = {int(place): at for at, place in enumerate(truth.queries)}
    pairs = [(at, known[places[row]]) for at, row in enumerate(asked.rows) if places[row] in known]
    if not pairs:
        return
    mine = [at for _, at in pairs]
    part = same_content.Truth(truth.queries[mine], truth.allowed[mine], truth.relevant[mine])
    asked = asked.take([at for at, _ in pairs])
    values = {}
    stored = archive.features()
    for kind, vectors in asked.features().items():
        base = stored[kind]
        if kind == DEFAULT:
            values[kind] = same_content.hits(base, part, vectors)[1]
        else:
            values[kind] = same_content.hits(
                same_content.standardized(base), part, same_content.standardized(vectors, base)
            )[1]
    yield Measure(
        TASK,
        f"{question.name}, {name}",
        "R@1",
        values,
        part.chance[1],
        {"clips": len(archive), "queries": len(pairs)},
    )


def _phones(name: str, made: Clips, labels: tuple[str, ...]) -> Measure:
    numbers = {label: number for number, label in enumerate(labels)}
    errors = [
        compare(heard, reference(row.phones, numbers))
        for row, heard in zip(made.rows, made.phones, strict=True)
    ]
    total = sum(errors, Errors())
    counts = {"clips": total.clips, "phones": total.phones}
    return Measure(
        TASK, f"phones, synthetic, {name}", "PER", {VALUE: total.rate}, None, counts, falling=True
    )


def _language(name: str, made: Clips, synthetic: language.Synthetic) -> Measure:
    features = made.features()
    values = {
        kind: accuracy(made.languages, synthetic.probes[kind](vectors))
        for kind, vectors in features.items()
    }
    counts = {"clips": len(made), "languages": len(synthetic.languages)}
    chance = 1 / len(synthetic.languages)
    return Measure(TASK, f"language, synthetic, {name}", "accuracy", values, chance, counts)


def _synthetic(row: Row) -> bool:
    return row.corpus == SYNTHETIC and row.split == "dev" and language.wanted_synthetic(row)


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    step = max(1, -(-len(rows) // most))
    return list(rows[::step])


def _voices(rows: Sequence[Row]) -> list[Floats]:
    voices = []
    for row in _spread(rows, _VOICES):
        try:
            voices.append(samples_of(row))
        except (EmbedsvcError, OSError):
            continue
    return voices
