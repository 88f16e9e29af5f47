"""A probe, asked about clips that it was never trained on, and about what is not speech."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.encoder import Encoder
from embedsvc.errors import InvalidArgument
from embedsvc.evaluation import answers
from embedsvc.evaluation.answers import Answers, Texts
from embedsvc.evaluation.clips import MFCC
from embedsvc.evaluation.emotion import common_emotion
from embedsvc.evaluation.listening import Heard, heard_sounds, listen, plans_of
from embedsvc.evaluation.probes import Bench, Recipe
from embedsvc.evaluation.probes import Probe as LinearProbe
from embedsvc.evaluation.speech import Row
from embedsvc.languages import normalize
from embedsvc.probes import Probe
from embedsvc.probes.background import other_sounds, sounds
from embedsvc.probes.scores import cooled
from embedsvc.types import Classification, Floats, ProbeTask

SEED = 20
"""Of the sounds; another than that of any training."""

RECIPE_MFCC = Recipe(0.3, balanced=True)

Tell = Callable[[str, int, int], None]
"""Told (what, done, total)."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Answers about the clips of each set, by its name, and about sounds that are no speech.

    `strange` is the share answered as unknown, and the count, by kind of sound.
    """

    name: str
    version: int
    sets: dict[str, Answers]
    strange: dict[str, tuple[float, int]]
    failed: tuple[str, ...] = ()

    @property
    def whole(self) -> Answers:
        """All sets together."""
        parts = list(self.sets.values())
        return parts[0] if len(parts) == 1 else joined(parts)

    def as_object(self) -> dict[str, Any]:
        """Every figure, for JSON."""
        whole = self.whole
        return {
            "probe": self.name,
            "version": self.version,
            "labels": list(whole.labels),
            "figures": answers.figures(whole),
            "sets": {name: answers.figures(each) for name, each in self.sets.items()},
            "lengths": dict(answers.by_length(whole)),
            "classes": list(answers.by_label(whole)),
            "selective": answers.selective(whole),
            "unknown": answers.reasons(whole.known.told),
            "left_out": _left_out(whole),
            "not_speech": {
                kind: {"unknown": share, "clips": count}
                for kind, (share, count) in self.strange.items()
            },
            "confusion": [
                {"truth": truth, "told": told, "share": share}
                for (truth, told), share in sorted(answers.confusion(whole).items())
            ],
        }


def label_of(row: Row, column: str, labels: frozenset[str]) -> str:
    """What a probe should say of a clip: its label, or its language by its code in our table.

    Emotions that a probe does not know by the name of their set are asked for by the common one.
    """
    if column == "language":
        return normalize(row.locale)
    if row.label in labels:
        return row.label
    return common_emotion(row.label) or row.label


def ask(
    probe: Probe, encoder: Encoder, sets: Mapping[str, Sequence[Row]], column: str, tell: Tell
) -> tuple[dict[str, tuple[Heard, Answers]], tuple[str, ...]]:
    """Answers about every set, with what was heard of it; and a line for each unreadable clip."""
    if probe.info.task is not ProbeTask.SINGLE_LABEL:
        raise InvalidArgument(
            f"`PROBE` must answer one label to be evaluated, but is for {probe.info.task}",
            field="probe",
        )
    plans = plans_of(encoder, probe.info.spaces)
    found: dict[str, tuple[Heard, Answers]] = {}
    failed: list[str] = []
    for name, rows in sets.items():
        heard = listen(encoder, plans, rows, lambda done, all_, name=name: tell(name, done, all_))  # type: ignore[misc]
        failed += heard.failed
        if len(heard):
            found[name] = (heard, answered(probe, heard, column))
    if not found:
        raise InvalidArgument("`DIR` must have clips that can be read")
    return found, tuple(failed)


def answered(probe: Probe, heard: Heard, column: str) -> Answers:
    """What a probe says of clips."""
    known = frozenset(probe.info.labels)
    return Answers(
        probe.info.labels,
        probe.info.alpha,
        np.array([label_of(row, column, known) for row in heard.rows], np.str_),
        np.array([row.seconds for row in heard.rows], np.float32),
        tuple(probe(heard.vectors, heard.speech_seconds.tolist())),
        cooled(probe.logits(heard.vectors), 1.0, probe.info.task),
    )


def with_cepstra(given: Answers, heard: Heard, baseline: LinearProbe | None) -> Answers:
    """The answers beside those of a probe on mean cepstra."""
    told = None if baseline is None else baseline(heard.cepstra)
    return Answers(
        given.labels, given.alpha, given.truth, given.seconds, given.told, given.raw, told
    )


def cepstral(heard: Heard, labels: Texts) -> LinearProbe | None:
    """A probe on mean cepstra; None unless there are two labels."""
    if len(np.unique(labels)) < 2:
        return None
    return Bench().fit({MFCC: heard.cepstra}, labels, RECIPE_MFCC)[MFCC]


def strangers(probe: Probe, encoder: Encoder) -> dict[str, tuple[float, int]]:
    """Share answered as unknown of sounds that are not speech, and the count, by kind.

    Kinds that nothing is trained with come first; then silence, and those of every training.
    """
    made = [*other_sounds(SEED), ("digital silence", np.zeros(48_000, np.float32))]
    made += list(sounds(SEED))
    told = told_of(probe, encoder, [samples for _, samples in made])
    return dict(answers.unknown_rates([kind for kind, _ in made], told))


def told_of(probe: Probe, encoder: Encoder, clips: Sequence[Floats]) -> list[Classification]:
    """What a probe says of samples (N,) each."""
    plans = plans_of(encoder, probe.info.spaces)
    vectors, seconds = heard_sounds(encoder, plans, clips)
    return probe(vectors, seconds.tolist())


def joined(parts: Sequence[Answers]) -> Answers:
    """Several answers of one probe as one."""
    raw = [each.raw for each in parts if each.raw is not None]
    cepstra = [each.cepstra for each in parts if each.cepstra is not None]
    return Answers(
        parts[0].labels,
        parts[0].alpha,
        np.concatenate([each.truth for each in parts]),
        np.concatenate([each.seconds for each in parts]),
        tuple(told for each in parts for told in each.told),
        np.concatenate(raw) if len(raw) == len(parts) else None,
        np.concatenate(cepstra) if len(cepstra) == len(parts) else None,
    )


def _left_out(whole: Answers) -> dict[str, Any]:
    """How clips whose truth the probe has no label for were answered."""
    left = whole.left_out
    if not len(left):
        return {}
    return {
        "clips": len(left),
        "labels": sorted(set(left.truth.tolist())),
        "unknown": float(np.mean(~left.answered)),
        "reasons": answers.reasons(left.told),
    }
