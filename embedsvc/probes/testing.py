"""What a probe is worth, measured on examples of groups that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.probes.examples import Places, Target
from embedsvc.probes.figures import (
    average_precision,
    calibration_error,
    concordance,
    confusion,
    f1,
    per_label,
    rank_correlation,
)
from embedsvc.probes.probe import Probe
from embedsvc.probes.scores import cooled, losses
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
Figures = dict[str, float]

MOST_ROWS = 1000
"""Of a table of labels; those with most examples are kept."""

MOST_CELLS = 2000
"""Of a confusion matrix in a report; the largest are kept."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What probes said of `rows` (n,): raw scores and probabilities (n, C) and what follows.

    Labels `answers` and `inside` the prediction set are (n, C), `unknown` and `half` the width of
    the interval (n,).
    """

    rows: Places
    logits: Floats
    probabilities: Doubles
    answers: Flags
    inside: Flags
    unknown: Flags
    half: Doubles


def heard(probe: Probe, vectors: Floats, rows: Places) -> Heard:
    """What `probe` says of `rows` of `vectors`."""
    told = probe.told(vectors[rows])
    return Heard(
        rows=rows,
        logits=told.logits,
        probabilities=told.probabilities,
        answers=told.probabilities >= probe.numbers.answers,
        inside=probe.in_set(told.probabilities),
        unknown=probe.is_unknown(told.belonging),
        half=np.full(len(rows), float(probe.numbers.least[0])),
    )


def joined(parts: Sequence[Heard]) -> Heard:
    """What several probes said, each of its own rows."""
    names = [each.name for each in fields(Heard)]
    return Heard(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def tested(said: Heard, target: Target) -> tuple[Figures, dict[str, Any]]:
    """Figures by name, and tables, of what was said of speech that was not trained on."""
    unknown = {"unknown_known": float(said.unknown.mean())}
    if target.task is ProbeTask.REGRESSION:
        return _of_values(said, target) | unknown, {}
    truth = target.truth[said.rows] > 0
    of = _of_sets if target.task is ProbeTask.MULTI_LABEL else _of_labels
    figures, tables = of(said, target, truth)
    more = {
        "nll": float(_surprise(said.probabilities, truth, target.task).mean()),
        "nll_before": float(losses(said.logits, truth.astype(np.float64), target.task).mean()),
        "coverage": float(said.inside[truth].mean()) if truth.any() else 1.0,
        "set_size": float(said.inside.sum(axis=1).mean()),
    }
    return figures | more | unknown, tables


def _surprise(told: Doubles, truth: NDArray[np.bool_], task: ProbeTask) -> Doubles:
    safe = np.clip(told, 1e-12, 1 - 1e-12)
    there = np.where(truth, np.log(safe), 0)
    if task is ProbeTask.MULTI_LABEL:
        there += np.where(truth, 0, np.log1p(-safe))
    result: Doubles = -there.sum(axis=1)
    return result


def _of_labels(said: Heard, target: Target, truth: Flags) -> tuple[Figures, dict[str, Any]]:
    labels, true = target.labels, target.classes[said.rows]
    answers = said.probabilities.argmax(axis=1)
    right = answers == true
    sure = said.probabilities.max(axis=1)
    raw = cooled(said.logits, 1.0, ProbeTask.SINGLE_LABEL).max(axis=1)
    raw_right = said.logits.argmax(axis=1) == true
    counts = confusion(true, answers, len(labels))
    frequent = int(target.truth.sum(axis=0, dtype=np.int64).argmax())
    each = per_label(counts)
    met = counts.sum(axis=1) > 0
    figures = {
        "accuracy": float(right.mean()),
        "unweighted_accuracy": float(each["recall"][met].mean()),
        "macro_f1": float(each["f1"][met | (counts.sum(axis=0) > 0)].mean()),
        "chance": 1 / len(labels),
        "majority": float(truth[:, frequent].mean()),
        "ece": calibration_error(sure, right, equal_mass=True),
        "ece_before": calibration_error(raw, raw_right, equal_mass=True),
        "ece_equal_width": calibration_error(sure, right, equal_mass=False),
        "ece_equal_width_before": calibration_error(raw, raw_right, equal_mass=False),
    }
    return figures, {
        "labels": _table(each, counts.sum(axis=1), labels),
        "confusion": _cells(counts),
    }


def _table(
    each: Any, support: NDArray[np.intp], labels: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    kept = set(np.argsort(-support, kind="stable")[:MOST_ROWS].tolist())
    return {
        label: {name: round(float(values[at]), 4) for name, values in each.items()}
        | {"support": int(support[at])}
        for at, label in enumerate(labels)
        if at in kept
    }


def _cells(counts: NDArray[np.intp]) -> list[list[int]]:
    """[true, told, how often] by places of labels, the most frequent first."""
    true, told = np.nonzero(counts)
    order = np.argsort(-counts[true, told], kind="stable")[:MOST_CELLS]
    return [[int(true[at]), int(told[at]), int(counts[true[at], told[at]])] for at in order]


def _of_sets(said: Heard, target: Target, truth: Flags) -> tuple[Figures, dict[str, Any]]:
    labels, told, answers = target.labels, said.probabilities, said.answers
    met = truth.any(axis=0)
    each = f1(answers, truth)
    precise = np.array([average_precision(told[:, at], truth[:, at]) for at in range(len(labels))])
    raw = cooled(said.logits, 1.0, ProbeTask.MULTI_LABEL)
    flat = truth.ravel()
    figures = {
        "macro_f1": _mean(each[met]),
        "micro_f1": float(f1(answers.reshape(-1, 1), flat[:, None])[0]),
        "mean_average_precision": _mean(precise[met]),
        "chance": _mean(truth[:, met]),
        "exact": float((answers == truth).all(axis=1).mean()),
        "ece": calibration_error(told.ravel(), flat, equal_mass=True),
        "ece_before": calibration_error(raw.ravel(), flat, equal_mass=True),
        "ece_equal_width": calibration_error(told.ravel(), flat, equal_mass=False),
        "ece_equal_width_before": calibration_error(raw.ravel(), flat, equal_mass=False),
    }
    right = (answers & truth).sum(axis=0)
    columns = {
        "precision": right / np.maximum(answers.sum(axis=0), 1),
        "recall": right / np.maximum(truth.sum(axis=0), 1),
        "f1": each,
        "average_precision": np.nan_to_num(precise),
    }
    return figures, {"labels": _table(columns, truth.sum(axis=0), labels)}


def _mean(values: Doubles | Flags) -> float:
    """0 of nothing: no label of the probe was in the test, which a warning says."""
    return float(values.mean()) if values.size else 0.0


def _of_values(said: Heard, target: Target) -> Figures:
    values, truth = said.logits[:, 0].astype(np.float64), target.values[said.rows]
    off, far = values - truth, truth - target.center
    spread = float(np.square(truth - truth.mean()).sum())
    return {
        "mae": float(np.abs(off).mean()),
        "rmse": float(np.sqrt(np.square(off).mean())),
        "r2": 1 - float(np.square(off).sum()) / max(spread, 1e-30),
        "spearman": rank_correlation(values, truth),
        "concordance": concordance(values, truth),
        "mae_of_the_mean": float(np.abs(far).mean()),
        "rmse_of_the_mean": float(np.sqrt(np.square(far).mean())),
        "coverage": float((np.abs(off) <= said.half).mean()),
        "interval_width": 2 * float(said.half.mean()),
    }
