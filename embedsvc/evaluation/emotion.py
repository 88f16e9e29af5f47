"""Which emotion is acted? By speakers that the probe has not heard."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embedsvc.evaluation.clips import MFCC, MFCC_DELTA, Clips
from embedsvc.evaluation.measures import Measure
from embedsvc.evaluation.probes import (
    Bench,
    Recipe,
    fit,
    folds,
    macro_f1,
    unweighted_accuracy,
)
from embedsvc.types import Floats

TASK = "emotion"
SETS = {"emo_ravdess": "RAVDESS", "emo_emodb": "EmoDB", "emo_nemo": "nEMO"}
RECIPE = Recipe(0.03, balanced=True)
RECIPE_MFCC = Recipe(0.3, balanced=True)
"""Few dimensions need less holding back."""

FOLDS = 5

COMMON = {
    "angry": "angry",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "fearful": "fearful",
    "happiness": "happy",
    "happy": "happy",
    "calm": "neutral",
    "neutral": "neutral",
    "sad": "sad",
    "sadness": "sad",
    "surprised": "surprised",
}
"""What each set calls an emotion, and what they are called together.

Calm is in RAVDESS alone, where it stands beside a neutral with half as many clips; boredom is in
EmoDB alone and has no place here.
"""

Texts = NDArray[np.str_]
Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def common_emotion(label: str) -> str:
    """The name that all sets have in common, or "".

    >>> common_emotion("anger"), common_emotion("bored")
    ('angry', '')
    """
    return COMMON.get(label, "")


def measure(clips: Clips, bench: Bench) -> Iterator[Measure]:
    """The given split of each set, then all its speakers in turns, which is steadier."""
    for corpus, name in SETS.items():
        mine = clips.where(lambda row, corpus=corpus: row.corpus == corpus)  # type: ignore[misc]
        if not len(mine):
            continue
        splits = mine.column(lambda row: row.split)
        given = [(np.flatnonzero(splits == "train"), np.flatnonzero(splits == "dev"))]
        yield from _measure(f"{name}, given split", mine, given, bench)
        speakers = mine.column(lambda row: row.speaker)
        count = min(FOLDS, len(np.unique(speakers)))
        if count > 1:
            yield from _measure(
                f"{name}, all speakers in turns", mine, folds(speakers, count), bench
            )


def _measure(name: str, clips: Clips, splits: list[Split], bench: Bench) -> Iterator[Measure]:
    labels, speakers = clips.column(lambda row: row.label), clips.column(lambda row: row.speaker)
    if any(len(np.unique(labels[train])) < 2 or not len(test) for train, test in splits):
        return
    tested = np.concatenate([test for _, test in splits])
    truth = labels[tested]
    told = bench.run(
        {
            kind: partial(_tell, vectors, labels, splits, _recipe(kind))
            for kind, vectors in clips.features().items()
        }
    )
    classes = len(np.unique(labels))
    for figure, score in (("UA", unweighted_accuracy), ("macro-F1", macro_f1)):
        yield Measure(
            task=TASK,
            name=name,
            figure=figure,
            values={kind: score(truth, each) for kind, each in told.items()},
            chance=1 / classes,
            counts={
                "clips": len(tested),
                "classes": classes,
                "speakers": len(np.unique(speakers[tested])),
            },
        )


def _recipe(kind: str) -> Recipe:
    return RECIPE_MFCC if kind in {MFCC, MFCC_DELTA} else RECIPE


def _tell(vectors: Floats, labels: Texts, splits: list[Split], recipe: Recipe) -> Texts:
    parts = [fit(vectors[train], labels[train], recipe)(vectors[test]) for train, test in splits]
    return np.concatenate(parts)
