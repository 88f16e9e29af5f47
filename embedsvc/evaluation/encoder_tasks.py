"""The whole evaluation of an encoder: which clips it needs, and every figure of them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from threadpoolctl import threadpool_limits

from embedsvc.evaluation import (
    emotion,
    language,
    phone_errors,
    robustness,
    same_content,
    speed,
    translations,
)
from embedsvc.evaluation.clips import Clips
from embedsvc.evaluation.embedding import Subject, embed
from embedsvc.evaluation.measures import Measure, Skipped
from embedsvc.evaluation.probes import Bench
from embedsvc.evaluation.speech import SYNTHETIC, Row

PHONES = "phones"
LANGUAGE_SYNTHETIC = "language-synthetic"
LANGUAGE_REAL = "language-real"
CONTENT = "content"
TRANSLATIONS = "translations"
EMOTION = "emotion"
SPEED = "speed"
ROBUSTNESS = "robustness"
TASKS = (
    PHONES,
    LANGUAGE_SYNTHETIC,
    LANGUAGE_REAL,
    CONTENT,
    TRANSLATIONS,
    EMOTION,
    SPEED,
    ROBUSTNESS,
)

Tell = Callable[[str, int, int | None], None]
"""Told the name of a stage, how much of it is done, and of how much, if that is known."""

Spell = Callable[[Sequence[Row]], Mapping[Row, tuple[str, ...]]]
"""Gives the phones of what clips of people say, of those whose language it knows."""


@dataclass(frozen=True)
class Asked:
    """What to measure; `spell` is None where no phones can be had of a text, and `why` says so."""

    tasks: tuple[str, ...] = TASKS
    spell: Spell | None = None
    why: str = ""


@dataclass(frozen=True)
class Results:
    """Every figure; what was left out; clips that could not be read."""

    measures: tuple[Measure, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[str, ...]
    clips: int


def evaluate(subject: Subject, rows: Sequence[Row], asked: Asked, tell: Tell) -> Results:
    """Pass the clips that the tasks need through the encoder once, then measure."""
    with threadpool_limits(1, user_api="blas"):  # small products, on threads that are ours
        return _evaluate(subject, rows, asked, tell)


def _evaluate(subject: Subject, rows: Sequence[Row], asked: Asked, tell: Tell) -> Results:
    people = language.wanted_real(rows) if LANGUAGE_REAL in asked.tasks else frozenset()
    mine = [row for row in rows if row in people or _needed(row, asked.tasks)]
    done = embed(subject, mine, lambda *counts: tell("clips", *counts))
    measured: list[Measure] = []
    skipped: list[Skipped] = []
    for found in _run(subject, done.clips, rows, asked, tell):
        if isinstance(found, Measure):
            measured.append(found)
        else:
            skipped.append(found)
    return Results(tuple(measured), tuple(skipped), done.failed, len(done.clips))


def _needed(row: Row, tasks: Sequence[str]) -> bool:
    return any(_NEEDED[task](row) for task in tasks if task in _NEEDED)


def _needed_translations(row: Row) -> bool:
    return row.corpus == SYNTHETIC and row.label == "parallel" and row.split == "dev"


def _needed_robustness(row: Row) -> bool:
    return language.wanted_synthetic(row) or row.corpus in {"emo_nemo", "emo_emodb"}


_NEEDED: Mapping[str, Callable[[Row], bool]] = {
    PHONES: phone_errors.wanted,
    LANGUAGE_SYNTHETIC: language.wanted_synthetic,
    LANGUAGE_REAL: language.wanted_synthetic,
    CONTENT: lambda row: any(question.wanted(row) for question in same_content.QUESTIONS),
    TRANSLATIONS: _needed_translations,
    EMOTION: lambda row: row.corpus in emotion.SETS,
    ROBUSTNESS: _needed_robustness,
}


def _run(
    subject: Subject, clips: Clips, rows: Sequence[Row], asked: Asked, tell: Tell
) -> Iterator[Measure | Skipped]:
    tasks = frozenset(asked.tasks)
    bench = partial(_bench, subject, tell)
    if PHONES in tasks:
        yield from _phones(subject, clips, rows, asked)
    synthetic = None
    if tasks & {LANGUAGE_SYNTHETIC, LANGUAGE_REAL, ROBUSTNESS}:
        synthetic = language.learn_synthetic(clips, bench("probes, synthetic speech"))
    if tasks & {LANGUAGE_SYNTHETIC, LANGUAGE_REAL}:
        yield from _languages(clips, synthetic, tasks, bench("probes, real speech"))
    if CONTENT in tasks:
        yield from _or_skipped(CONTENT, same_content.measure(clips))
    if TRANSLATIONS in tasks:
        yield from _or_skipped(TRANSLATIONS, translations.measure(clips))
    if EMOTION in tasks:
        yield from _or_skipped(EMOTION, emotion.measure(clips, bench("probes, emotion")))
    if SPEED in tasks:
        yield from _or_skipped(SPEED, speed.measure(subject, rows))
    if ROBUSTNESS in tasks:
        yield from _or_skipped(ROBUSTNESS, _robustness(subject, clips, synthetic, tell))


def _phones(
    subject: Subject, clips: Clips, rows: Sequence[Row], asked: Asked
) -> Iterator[Measure | Skipped]:
    if subject.head is None:
        yield Skipped(PHONES, "the model has no phone head")
        return
    people = [row for row in clips.rows if row.corpus != SYNTHETIC and phone_errors.wanted(row)]
    spoken = asked.spell(people) if asked.spell else {}
    if people and not asked.spell:
        yield Skipped(PHONES, f"clips of people: {asked.why}")
    known = phone_errors.known_variants(rows)
    found = phone_errors.measure(clips, subject.head.labels, spoken, known)
    yield from _or_skipped(PHONES, found)


def _languages(
    clips: Clips, synthetic: language.Synthetic | None, tasks: frozenset[str], bench: Bench
) -> Iterator[Measure | Skipped]:
    if synthetic is None:
        yield Skipped(LANGUAGE_SYNTHETIC, "no synthetic speech of two languages or more")
        return
    if LANGUAGE_SYNTHETIC in tasks:
        yield from synthetic.measures()
    if LANGUAGE_REAL in tasks:
        yield from _or_skipped(LANGUAGE_REAL, language.measure_real(clips, synthetic, bench))


def _robustness(
    subject: Subject, clips: Clips, synthetic: language.Synthetic | None, tell: Tell
) -> Iterator[Measure]:
    layer = subject.plan.layer
    at = clips.layers.index(layer)
    few = Clips(
        clips.rows,
        (layer,),
        clips.states[:, at : at + 1],
        clips.default,
        clips.cepstra,
        clips.phones,
    )
    shallow = Subject(subject.encoder, (layer,), subject.head, subject.threads)
    labels = subject.head.labels if subject.head else ()
    yield from robustness.measure(
        shallow, few, labels, synthetic, lambda *counts: tell("worse sound", *counts)
    )


def _or_skipped(task: str, found: Iterator[Measure]) -> Iterator[Measure | Skipped]:
    empty = True
    for measure in found:
        empty = False
        yield measure
    if empty:
        yield Skipped(task, "none of the clips that it needs are there")


def _bench(subject: Subject, tell: Tell, stage: str) -> Bench:
    done = itertools.count(1)
    return Bench(subject.threads, lambda: tell(stage, next(done), None))
