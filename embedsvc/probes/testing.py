"""What a probe is worth, measured on examples of groups that it was not trained on."""

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
from embedsvc.probes.probe import Probe, Told
from embedsvc.probes.scores import cooled, losses
from embedsvc.types import Floats, ProbeTask

Doubles = NDArray[np.float64]
Figures = dict[str, float]

MOST_CELLS = 2000
"""Of a confusion matrix in a report; the largest are kept."""


def tested(
    probe: Probe, vectors: Floats, target: Target, learned: Places, asked: Places
) -> tuple[Figures, dict[str, Any]]:
    """Figures by name, and tables, of the examples `asked`; `learned` it was trained on."""
    told = probe.told(vectors[asked])
    unknown = float(probe.is_unknown(told.belonging).mean())
    if target.task is ProbeTask.REGRESSION:
        figures = _of_values(
            probe, told, target.values[asked], float(target.values[learned].mean())
        )
        return figures | {"unknown_known": unknown}, {}
    truth = target.truth[asked] > 0
    if target.task is ProbeTask.MULTI_LABEL:
        figures, tables = _of_sets(probe, told, truth)
    else:
        majority = int(target.truth[learned].sum(axis=0, dtype=np.int64).argmax())
        figures, tables = _of_labels(told, target.classes[asked], majority, target.labels)
    inside = probe.in_set(told.probabilities)
    figures |= {
        "nll": float(_surprise(told.probabilities, truth, target.task).mean()),
        "nll_before": float(losses(told.logits, truth.astype(np.float64), target.task).mean()),
        "coverage": float(inside[truth].mean()) if truth.any() else 1.0,
        "set_size": float(inside.sum(axis=1).mean()),
        "unknown_known": unknown,
    }
    return figures, tables


def _surprise(told: Doubles, truth: NDArray[np.bool_], task: ProbeTask) -> Doubles:
    safe = np.clip(told, 1e-12, 1 - 1e-12)
    there = np.where(truth, np.log(safe), 0)
    if task is ProbeTask.MULTI_LABEL:
        there += np.where(truth, 0, np.log1p(-safe))
    result: Doubles = -there.sum(axis=1)
    return result


def _of_labels(
    told: Told, truth: Places, majority: int, labels: tuple[str, ...]
) -> tuple[Figures, dict[str, Any]]:
    answers = told.probabilities.argmax(axis=1)
    right = answers == truth
    sure = told.probabilities.max(axis=1)
    raw = cooled(told.logits, 1.0, ProbeTask.SINGLE_LABEL).max(axis=1)
    raw_right = told.logits.argmax(axis=1) == truth
    counts = confusion(truth, answers, len(labels))
    each = per_label(counts)
    met = counts.sum(axis=1) > 0
    figures = {
        "accuracy": float(right.mean()),
        "unweighted_accuracy": float(each["recall"][met].mean()),
        "macro_f1": float(each["f1"][met | (counts.sum(axis=0) > 0)].mean()),
        "chance": 1 / len(labels),
        "majority": float((truth == majority).mean()),
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
    return {
        label: {name: round(float(values[at]), 4) for name, values in each.items()}
        | {"support": int(support[at])}
        for at, label in enumerate(labels)
    }


def _cells(counts: NDArray[np.intp]) -> list[list[int]]:
    """[true, told, how often] by places of labels, the most frequent first."""
    true, told = np.nonzero(counts)
    order = np.argsort(-counts[true, told], kind="stable")[:MOST_CELLS]
    return [[int(true[at]), int(told[at]), int(counts[true[at], told[at]])] for at in order]


def _of_sets(probe: Probe, told: Told, truth: NDArray[np.bool_]) -> tuple[Figures, dict[str, Any]]:
    labels = probe.info.labels
    answers = told.probabilities >= probe.numbers.answers
    met = truth.any(axis=0)
    each = f1(answers, truth)
    precise = np.array(
        [average_precision(told.probabilities[:, at], truth[:, at]) for at in range(len(labels))]
    )
    raw = cooled(told.logits, 1.0, ProbeTask.MULTI_LABEL)
    flat = truth.ravel()
    figures = {
        "macro_f1": float(each[met].mean()),
        "micro_f1": float(f1(answers.reshape(-1, 1), flat[:, None])[0]),
        "mean_average_precision": float(precise[met].mean()),
        "chance": float(truth[:, met].mean()),
        "exact": float((answers == truth).all(axis=1).mean()),
        "ece": calibration_error(told.probabilities.ravel(), flat, equal_mass=True),
        "ece_before": calibration_error(raw.ravel(), flat, equal_mass=True),
        "ece_equal_width": calibration_error(told.probabilities.ravel(), flat, equal_mass=False),
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


def _of_values(probe: Probe, told: Told, truth: Doubles, mean: float) -> Figures:
    values = told.logits[:, 0].astype(np.float64)
    off = values - truth
    spread = float(np.square(truth - truth.mean()).sum())
    return {
        "mae": float(np.abs(off).mean()),
        "rmse": float(np.sqrt(np.square(off).mean())),
        "r2": 1 - float(np.square(off).sum()) / max(spread, 1e-30),
        "spearman": rank_correlation(values, truth),
        "concordance": concordance(values, truth),
        "mae_of_the_mean": float(np.abs(truth - mean).mean()),
        "rmse_of_the_mean": float(np.sqrt(np.square(truth - mean).mean())),
        "coverage": float((np.abs(off) <= probe.numbers.least[0]).mean()),
        "interval_width": 2 * float(probe.numbers.least[0]),
    }
