"""Which language is it? Probes learn on synthetic speech, and are asked about people too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.answers import LENGTHS, length_name
from embedsvc.evaluation.clips import DEFAULT, MFCC, Clips
from embedsvc.evaluation.measures import Measure
from embedsvc.evaluation.probes import (
    Bench,
    Probe,
    Recipe,
    Scale,
    accuracy,
    unweighted_accuracy,
)
from embedsvc.evaluation.speech import SYNTHETIC, Row, capped
from embedsvc.types import Floats

TASK_SYNTHETIC = "language, synthetic"
TASK_REAL = "language, real"
RECIPE = Recipe(0.05)
CHUNK = "chunk"
SAME_CORPUS = "gcompris_voices"
CORPORA = (
    SAME_CORPUS,
    "artikulate",
    "azure_customspeech",
    "cml_tts",
    "misc_samples",
    "porcupine_keywords",
    "emo_emodb",
    "emo_nemo",
    "emo_ravdess",
)
"""What is tested on: no clip of it, and for all but the first none of its corpus, is learned."""

_MOST = 150
"""Real clips of one language that a probe learns on."""

Texts = NDArray[np.str_]
Features = Mapping[str, Floats]


@dataclass(frozen=True)
class Told:
    """What a probe told of test clips, by kind of vector, and the truth."""

    truth: Texts
    seconds: Floats
    by_kind: Mapping[str, Texts]
    classes: int

    def measures(self, task: str, name: str, chosen: str = "", note: str = "") -> Iterator[Measure]:
        """Accuracy and unweighted accuracy."""
        share = max(np.mean(self.truth == each) for each in np.unique(self.truth))
        for figure, score in (("accuracy", accuracy), ("UA", unweighted_accuracy)):
            yield Measure(
                task=task,
                name=name,
                figure=figure,
                values={kind: score(self.truth, told) for kind, told in self.by_kind.items()},
                chance=1 / self.classes,
                counts={"clips": len(self.truth), "languages": len(np.unique(self.truth))},
                note="; ".join(filter(None, [note, f"most frequent language {share:.1%}"])),
                chosen=chosen,
            )

    def within(self, least: float, most: float) -> "Told":
        """The clips of a length."""
        mine = (self.seconds >= least) & (self.seconds < most)
        by_kind = {kind: told[mine] for kind, told in self.by_kind.items()}
        return Told(self.truth[mine], self.seconds[mine], by_kind, self.classes)


def wanted_synthetic(row: Row) -> bool:
    """Clips that the probes learn on and those that choose the layer."""
    return row.corpus == SYNTHETIC and row.label == CHUNK


def wanted_real(rows: Sequence[Row]) -> frozenset[Row]:
    """Clips of people that are learned on, or tested on, in the languages of synthetic speech."""
    languages = frozenset(row.language for row in rows if wanted_synthetic(row))
    tested = [row for row in rows if row.split == "dev" and row.corpus in CORPORA]
    tested = [row for row in tested if row.language in languages]
    return learned(rows, languages).union(tested)


def learned(rows: Sequence[Row], languages: frozenset[str]) -> frozenset[Row]:
    """Clips of people to learn on: of these languages, and not too many of any."""
    mine = [row for row in rows if row.corpus != SYNTHETIC and row.trainable]
    mine = [row for row in mine if row.language in languages]
    others = capped((row for row in mine if row.corpus != SAME_CORPUS), _MOST)
    same = capped((row for row in mine if row.corpus == SAME_CORPUS), _MOST)
    return frozenset((*others, *same))


@dataclass(frozen=True)
class Synthetic:
    """Probes of every language, by kind of vector, and the layer with the best of them."""

    probes: Mapping[str, Probe]
    languages: frozenset[str]
    told: Told
    chosen: str

    def measures(self) -> Iterator[Measure]:
        """On held-out text, with voices that were not learned among them."""
        yield from self.told.measures(TASK_SYNTHETIC, "held-out text", self.chosen)


def learn_synthetic(clips: Clips, bench: Bench) -> Synthetic | None:
    """Probes that learned on synthetic speech alone, and how they do on more of it."""
    train = clips.where(lambda row: wanted_synthetic(row) and row.split == "train")
    test = clips.where(lambda row: wanted_synthetic(row) and row.split == "dev")
    languages = frozenset(train.languages.tolist())
    test = test.where(lambda row: row.language in languages)
    if len(languages) < 2 or not len(test):
        return None
    probes = bench.fit(train.features(), train.languages, RECIPE)
    told = _told(probes, test, len(languages))
    scores = Measure("", "", "", {k: accuracy(told.truth, v) for k, v in told.by_kind.items()})
    return Synthetic(probes, languages, told, f"layer {scores.best}")


def measure_real(clips: Clips, synthetic: Synthetic, bench: Bench) -> Iterator[Measure]:
    """Every training against every corpus it does not touch; with GCompris in it, that alone."""
    rows = learned(clips.rows, synthetic.languages)
    made = clips.where(lambda row: wanted_synthetic(row) and row.split == "train")
    others = clips.where(lambda row: row in rows and row.corpus != SAME_CORPUS)
    same = clips.where(lambda row: row in rows)
    tests = {corpus: _test(clips, corpus, synthetic.languages) for corpus in CORPORA}
    tests = {corpus: test for corpus, test in tests.items() if len(test)}
    only = {corpus: test for corpus, test in tests.items() if corpus == SAME_CORPUS}
    trainings = (
        _Training("synthetic", made, tests),
        _Training("synthetic and real", _joined(made, others), tests),
        _Training("synthetic, real and its own corpus", _joined(made, same), only),
    )
    for training in trainings:
        known = synthetic.probes if training.clips is made else None
        yield from _trained(training, synthetic.chosen, known, bench)


@dataclass(frozen=True)
class _Training:
    """Clips to learn on, and those of each corpus to ask about."""

    name: str
    clips: Clips
    tests: Mapping[str, Clips]


def _trained(
    training: _Training, chosen: str, known: Mapping[str, Probe] | None, bench: Bench
) -> Iterator[Measure]:
    """Figures of one training; `known` are its probes of every language, if there are any yet."""
    clips = training.clips
    if known is None:
        every = clips.features()
        asked = {kind: every[kind] for kind in (chosen, DEFAULT, MFCC)}
        known = bench.fit(asked, clips.languages, RECIPE)
    classes = len(np.unique(clips.languages))
    for corpus, test in training.tests.items():
        title = f"{corpus}, learned on {training.name}"
        told = _told(known, test, classes)
        yield from told.measures(TASK_REAL, f"{title}, any language", chosen)
        if len(np.unique(test.languages)) > 1:
            yield from _restricted(title, clips, test, chosen, bench)


def _restricted(
    title: str, train: Clips, test: Clips, chosen: str, bench: Bench
) -> Iterator[Measure]:
    """Among the languages of the test alone."""
    possible = frozenset(test.languages.tolist())
    train = train.where(lambda row: row.language in possible)
    probes = bench.fit(train.features(), train.languages, RECIPE)
    told = _told(probes, test, len(possible))
    yield from told.measures(TASK_REAL, title, chosen)
    anew = _told(probes, test, len(possible), anew=True)
    note = "transductive: the test clips are standardized on themselves"
    yield from anew.measures(TASK_REAL, f"{title}, transductive", chosen, note)
    if title.startswith(SAME_CORPUS):
        for least, most in LENGTHS:
            part = told.within(least, most)
            if len(part.truth):
                name = f"{title}, {length_name(least, most)}"
                yield from part.measures(TASK_REAL, name, chosen)


def _told(probes: Mapping[str, Probe], test: Clips, classes: int, *, anew: bool = False) -> Told:
    features = test.features()
    by_kind = {
        kind: probe(features[kind], Scale.of(features[kind]) if anew else None)
        for kind, probe in probes.items()
    }
    seconds = np.array([row.seconds for row in test.rows], np.float32)
    return Told(test.languages, seconds, by_kind, classes)


def _test(clips: Clips, corpus: str, languages: frozenset[str]) -> Clips:
    return clips.where(
        lambda row: row.corpus == corpus and row.split == "dev" and row.language in languages
    )


def _joined(first: Clips, second: Clips) -> Clips:
    return Clips(
        rows=first.rows + second.rows,
        layers=first.layers,
        states=np.concatenate([first.states, second.states]),
        default=np.concatenate([first.default, second.default]),
        cepstra=np.concatenate([first.cepstra, second.cepstra]),
        phones=first.phones + second.phones,
    )
